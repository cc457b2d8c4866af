"""What a child that decodes or cuts may do: it has no network, starts no program, and writes below one folder alone.

Linux holds it to that below Python, also where a hostile file has taken the process over: files by Landlock, sockets
by a seccomp filter. Where the kernel lacks either, an audit hook refuses the same to Python code, all that it sees.
"""

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Any

# linux/landlock.h: its three system calls have the same numbers on all machines
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
#: Rights over files that each version of Landlock added, but for reading; what is handled and not allowed is refused.
_READ_FILE, _READ_FOLDER, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
#: To bind and connect TCP sockets; to reach abstract sockets, and to signal processes, of others.
_TCP, _OTHERS = 0b11, 0b11
_TCP_SINCE, _OTHERS_SINCE = 4, 6
# sys/prctl.h, linux/seccomp.h, linux/audit.h, linux/bpf_common.h
_SET_SECCOMP, _SET_NO_NEW_PRIVS, _FILTER_MODE = 22, 38, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_IO_URING_SETUP, _OTHER_ABI = 425, 0x40000000  # the first can make sockets too
#: machine -> its name for the kernel, and the number of `socket`.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_NEVER = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork", "pty.")


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def confine(folder: str) -> None:
    """Confines this process for good: the thread that calls it, and all that it starts from then on.

    Args:
      folder: The only place to write to; empty for none.

    Raises:
      OSError: The folder is not there.
    """
    files_are_kept, network_is_kept = keep_files(folder), keep_network()
    if not (files_are_kept and network_is_kept):
        _guard(folder)


def keep_files(folder: str) -> bool:
    """Refuses to write and to start programs, by Landlock; returns whether the kernel has it."""
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION) if libc else 0
    if version < 1:
        return False
    handled = sum(rights for since, rights in _RIGHTS.items() if since <= version) & ~(_READ_FILE | _READ_FOLDER)
    rules = _Rules(handled, _TCP * (version >= _TCP_SINCE), _OTHERS * (version >= _OTHERS_SINCE))
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0))
    try:
        if folder:
            opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            beneath = _Beneath(handled & ~_EXECUTE, opened)
            _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0))
            os.close(opened)
        _no_new_privileges(libc)
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def keep_network() -> bool:
    """Refuses to make sockets, by a seccomp filter; returns whether the kernel has it."""
    libc, machine = _libc(), _MACHINES.get(platform.machine())
    if not libc or not machine:
        return False
    architecture, socket = machine
    steps = (
        _Step(_LOAD, 0, 0, _ARCHITECTURE_AT),
        _Step(_IF_EQUAL, 0, 4, architecture),
        _Step(_LOAD, 0, 0, _NUMBER_AT),
        _Step(_IF_AT_LEAST, 2, 0, _OTHER_ABI),
        _Step(_IF_EQUAL, 1, 0, socket),
        _Step(_IF_EQUAL, 0, 1, _IO_URING_SETUP),
        _Step(_RETURN, 0, 0, _REFUSE),
        _Step(_RETURN, 0, 0, _ALLOW),
    )
    _no_new_privileges(libc)
    program = _Filter(len(steps), (_Step * len(steps))(*steps))
    return not libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _no_new_privileges(libc: Any) -> None:
    _checked(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _guard(folder: str) -> None:
    """Refuses to Python code what the kernel cannot refuse."""
    allowed = Path(os.path.realpath(folder)) if folder else None

    def is_own(path: Any) -> bool:
        if isinstance(path, int):  # opened before
            return True
        return allowed is not None and Path(os.path.realpath(os.fsdecode(path))).is_relative_to(allowed)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            refused = bool(flags & _WRITES) and not is_own(path)
        elif event in _CHANGES:
            refused = not all(map(is_own, filter(lambda part: isinstance(part, str | bytes), arguments)))
        else:
            refused = event.startswith(_NEVER)
        if refused:
            raise PermissionError(f"{event}: a child that reads hostile files may not do this")

    sys.addaudithook(hook)
