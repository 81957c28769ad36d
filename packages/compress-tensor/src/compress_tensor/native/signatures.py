"""Every C function this package calls, declared once, in the order of compress_core.h."""

from __future__ import annotations

import ctypes
from typing import Any

ABI = (3, 1)  #: the compress_core.h this table was written against

I32 = ctypes.c_int32
I64 = ctypes.c_int64
#: An address as a plain int, or None for NULL.  The caller keeps the memory alive.
Address = ctypes.c_void_p
Words = ctypes.c_void_p  #: address of int64 words
Handle = ctypes.c_void_p


class Job(ctypes.Structure):
    """`cpr_job`: what a run is given."""

    _fields_ = (
        ("program", Handle),
        ("bases", Address),
        ("n_bases", I64),
        ("pool", Handle),
        ("poll", Address),
        ("poll_thread", ctypes.c_uint64),
        ("owner", Address),
        ("steps", Words),
        ("count", I64),
    )


#: name -> argument types.  Each function returns a cpr_status, checked by the loader.
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cpr_get_isa": (ctypes.POINTER(I32),),
    "cpr_limit_isa": (I32,),
    "cpr_find_op": (ctypes.c_char_p, ctypes.POINTER(I32)),
    "cpr_op_name": (I32, ctypes.POINTER(ctypes.c_char_p)),
    "cpr_pool_create": (I32, ctypes.POINTER(Handle)),
    "cpr_pool_destroy": (Handle,),
    "cpr_call": (I32, I32, Words, Address, I32, Words, Handle),
    "cpr_program_create": (I32, Words, I64, Words, I32, Words, ctypes.POINTER(Handle)),
    "cpr_program_arena_bytes": (Handle, I32, ctypes.POINTER(I64)),
    "cpr_program_run": (Handle, I32, Address, Handle, Address, Words),
    "cpr_run_job": (Address,),
    "cpr_program_destroy": (Handle,),
    "cpr_peak": (I32, I64, ctypes.POINTER(I64)),
}
