//! Every symbol of the C API in use, on one page.

pub(super) use pyo3_ffi::{
    METH_FASTCALL, Py_DECREF, Py_EndInterpreter, Py_False, Py_INCREF, Py_InitializeEx, Py_IsInitialized,
    Py_NewInterpreterFromConfig, Py_None, Py_TPFLAGS_DEFAULT, Py_TPFLAGS_DISALLOW_INSTANTIATION,
    Py_TPFLAGS_IMMUTABLETYPE, Py_TYPE, Py_True, Py_Version, Py_ssize_t, Py_tp_call, Py_tp_dealloc,
    Py_tp_iter, Py_tp_iternext, Py_tp_methods, PyBytes_AsString, PyBytes_Check, PyBytes_FromStringAndSize,
    PyBytes_Size, PyCallable_Check, PyDict_Copy, PyDict_GetItemString, PyDict_New, PyDict_SetItem,
    PyDict_Size, PyErr_GetRaisedException, PyErr_GivenExceptionMatches, PyErr_Occurred,
    PyErr_SetRaisedException, PyErr_SetString, PyEval_AcquireThread, PyEval_ReleaseThread, PyEval_SaveThread,
    PyExc_AssertionError, PyExc_BaseException, PyExc_Exception, PyExc_MemoryError, PyExc_OSError,
    PyExc_RuntimeError, PyExc_SystemExit, PyExc_TypeError, PyExc_ValueError, PyFloat_FromDouble,
    PyImport_ImportModule, PyInterpreterConfig, PyInterpreterConfig_OWN_GIL, PyInterpreterState,
    PyInterpreterState_Main, PyInterpreterState_ThreadHead, PyIter_Next, PyList_Check, PyList_CheckExact,
    PyList_GetItemRef, PyList_New, PyList_SetItem, PyList_Size, PyLong_FromSsize_t, PyMethodDef,
    PyMethodDefPointer, PyNumber_AsSsize_t, PyObject, PyObject_ASCII, PyObject_Free, PyObject_GetAttrString,
    PyObject_GetIter, PyObject_GetOptionalAttrString, PyObject_IsTrue, PyObject_SetAttrString, PyObject_Str,
    PyObject_Vectorcall, PyStatus_Exception, PyThread_get_thread_ident, PyThreadState, PyThreadState_Clear,
    PyThreadState_DeleteCurrent, PyThreadState_Get, PyThreadState_GetFrame, PyThreadState_GetID,
    PyThreadState_GetInterpreter, PyThreadState_New, PyThreadState_Next, PyThreadState_SetAsyncExc,
    PyTuple_Check, PyTuple_CheckExact, PyTuple_GetItem, PyTuple_Size, PyType_FromSpec, PyType_GenericAlloc,
    PyType_Slot, PyType_Spec, PyTypeObject, PyUnicode_AsUTF8AndSize, PyUnicode_Check, PyUnicode_DecodeLatin1,
    PyUnicode_FromStringAndSize, PyUnicode_InternInPlace,
};
