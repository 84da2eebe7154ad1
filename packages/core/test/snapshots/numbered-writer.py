"""Writes to a disk without end, and numbers what it writes: write number S goes to block S modulo BLOCKS and says S in all of the block.

So what a snapshot at one moment holds is known from its largest number alone. Arguments: path, blocks, and how: `buffered`, `direct`
(O_DIRECT) or `mapped` (into memory). Says `writing` when every block was written once.
"""

import mmap
import os
import struct
import sys

BLOCK_BYTES = 4096

path, blocks, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
descriptor = os.open(path, os.O_RDWR | (os.O_DIRECT if how == "direct" else 0))
# Anonymous memory starts at a page's edge, as O_DIRECT wants it.
block = mmap.mmap(-1, BLOCK_BYTES)
disk = mmap.mmap(descriptor, blocks * BLOCK_BYTES) if how == "mapped" else None

number = 0
while True:
    number += 1
    position = number % blocks * BLOCK_BYTES
    content = struct.pack("<Q", number) * (BLOCK_BYTES // 8)
    if disk is not None:
        # A mapped page has no moment at which all of it changes: only its first number counts.
        disk[position : position + 8] = content[:8]
    else:
        block[:] = content
        os.pwrite(descriptor, block, position)
    if number == blocks:
        print("writing", flush=True)
