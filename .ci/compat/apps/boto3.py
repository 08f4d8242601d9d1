"""HTTP clients: boto3."""

import boto3


def use():
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-central-1"}
    client = boto3.session.Session().client("s3", **keys)
    assert "X-Amz-Signature" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
