"""A disk that remembers: one file, served over FUSE, that logs every write and every flush in order.

    python3 logdisk.py MOUNTPOINT FOLDER SIZE

MOUNTPOINT is an existing regular file; the disk of SIZE bytes is mounted over it, and a loop device goes on top:
loop turns a FLUSH into an fsync of the file, a FUA write into a write and a flush, and (opened with direct I/O)
keeps nothing back. So this process sees what a disk with a volatile write cache would see. In FOLDER it keeps

    image   what the disk holds now (sparse)
    data    the payloads of all writes, one behind the other
    index   one ENTRY a request; its length / ENTRY.size is the position in the log

An entry is in the index before the request is answered. Requests are handled one at a time, so a flush in the log
covers every write before it. Speaks the FUSE protocol itself: the standard library is all it needs.
Ends when the file is unmounted; `power_loss.py` starts and unmounts it.
"""

import ctypes
import errno
import os
import struct
import sys

ENTRY = struct.Struct("<cxxxIQQ")  # op, length, offset on the disk, offset in `data`
WRITE, FLUSH = b"W", b"F"

MAX_WRITE = 1 << 20
IN_HEADER = struct.Struct("<IIQQIIII")
OUT_HEADER = struct.Struct("<IiQ")
GETATTR, SETATTR, OPEN, READ, OP_WRITE, STATFS, RELEASE, FSYNC, FLUSH_FILE, INIT, DESTROY = (
    3, 4, 14, 15, 16, 17, 18, 20, 25, 26, 38)
NO_ANSWER = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
FOPEN_DIRECT_IO = 1
BIG_WRITES, MAX_PAGES = 1 << 5, 1 << 22  # no ASYNC_DIO and no WRITEBACK_CACHE: order is the point
PR_SET_IO_FLUSHER = 57


class Disk:
    def __init__(self, folder, size):
        self.size = size
        self.image = os.open(os.path.join(folder, "image"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(self.image, size)
        append = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self.data = os.open(os.path.join(folder, "data"), append, 0o600)
        self.index = os.open(os.path.join(folder, "index"), append, 0o600)
        self.data_len = 0

    def write(self, offset, payload):
        write_all(self.data, payload)
        os.pwrite(self.image, payload, offset)
        os.write(self.index, ENTRY.pack(WRITE, len(payload), offset, self.data_len))
        self.data_len += len(payload)

    def flush(self):
        os.write(self.index, ENTRY.pack(FLUSH, 0, 0, self.data_len))

    def answer(self, op, arg):
        """The reply's payload, or an OSError with the errno to send."""
        if op == INIT:
            major, minor, readahead, _ = struct.unpack_from("<IIII", arg)
            return struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), readahead, BIG_WRITES | MAX_PAGES,
                               16, 12, MAX_WRITE, 1, MAX_WRITE // 4096, 0, 0)
        if op in (GETATTR, SETATTR):
            attr = struct.pack("<6Q10I", 1, self.size, self.size // 512, 0, 0, 0, 0, 0, 0, 0o100600, 1, 0, 0, 0, 4096, 0)
            return struct.pack("<QII", 3600, 0, 0) + attr
        if op == OPEN:
            return struct.pack("<QII", 1, FOPEN_DIRECT_IO, 0)
        if op == READ:
            _, offset, size = struct.unpack_from("<QQI", arg)
            return os.pread(self.image, size, offset)
        if op == OP_WRITE:
            _, offset, size = struct.unpack_from("<QQI", arg)
            payload = arg[40:40 + size]
            if offset + size > self.size:
                raise OSError(errno.ENOSPC, "past the end")
            self.write(offset, payload)
            return struct.pack("<II", size, 0)
        if op == FSYNC:
            self.flush()
            return b""
        if op == STATFS:
            return struct.pack("<5Q4I24x", 0, 0, 0, 1, 0, 4096, 255, 4096, 0)
        if op in (RELEASE, FLUSH_FILE, DESTROY):
            return b""
        # FALLOCATE too: the kernel then writes its zeros like any other data.
        raise OSError(errno.ENOSYS, "not served")


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def serve(fd, disk):
    buffer = bytearray(MAX_WRITE + 8192)
    while True:
        try:
            n = os.readv(fd, [buffer])
        except OSError as e:
            if e.errno == errno.ENODEV:
                return
            if e.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                continue
            raise
        _, op, unique = IN_HEADER.unpack_from(buffer)[:3]
        if op in NO_ANSWER:
            continue
        try:
            reply, error = disk.answer(op, memoryview(buffer)[IN_HEADER.size:n]), 0
        except OSError as e:
            reply, error = b"", -e.errno
        os.writev(fd, [OUT_HEADER.pack(OUT_HEADER.size + len(reply), error, unique), reply])


def main():
    mountpoint, folder, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0)  # memory for this process never waits for a disk that waits for it
    disk = Disk(folder, size)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=100000,user_id=0,group_id=0,max_read={MAX_WRITE}"
    if libc.mount(b"logdisk", os.fsencode(mountpoint), b"fuse", 6, options.encode()) != 0:  # nosuid, nodev
        code = ctypes.get_errno()
        sys.exit(f"mount of the FUSE disk: {os.strerror(code)}")
    print("ready", flush=True)
    serve(fd, disk)


if __name__ == "__main__":
    main()
