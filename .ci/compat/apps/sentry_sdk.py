"""tasks and agents: sentry-sdk."""

import sentry_sdk

sent = []
sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1", before_send=lambda event, hint: sent.append(event), traces_sample_rate=1.0
)


def use():
    before = len(sent)
    try:
        1 / 0  # noqa: B018 (it is there to be reported)
    except ZeroDivisionError as error:
        sentry_sdk.capture_exception(error)
    assert len(sent) > before
