"""What a disk says when a write cannot be carried out."""

from __future__ import annotations

import errno

from paceline.errors import PacelineError


class DiskFailed(PacelineError):
    """A write or a sync has failed, and with it the disk for good: the process is to end.

    After a failed fsync, the kernel may hold pages for written which are not (the "fsyncgate" of
    2018), so that a repeated one succeeds and means nothing. Which of the writes are durable is not
    known; the next start reads what there is, and writes it anew.
    """


class DiskFull(PacelineError):
    """There is no space. None of the batch's writes was carried out, the files are as before, and
    the same batch may be given again later."""


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
