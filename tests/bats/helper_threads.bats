#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# One gzip run that several threads inflate. Whatever the samples are, and wherever they begin, the
# images are those of one thread, to the bit.

load helper

setup() {
    common_setup
    THREADS=2
}

# runs FILE.py: it writes ./NAME.nii.gz, runs of more than 16 MiB; `write` is there for it.
runs() {
    /usr/bin/python3 - "$1" <<'END'
import gzip
import sys

import nibabel
import numpy as np

SHAPE = (32, 32, 16)
NVOL = 640  # 20 MiB of two bytes a sample
rng = np.random.default_rng(4)


def series(dtype, low, high, shape=(*SHAPE, NVOL)):
    """Noise upon a smooth image."""
    x = np.linspace(0, 1, shape[0])[:, None, None, None]
    y = np.linspace(0, 1, shape[1])[None, :, None, None]
    middle = low + (high - low) * (0.2 + 0.3 * x + 0.3 * y)
    noise = rng.normal(0, (high - low) / 40, shape).astype("f4")
    return np.clip(middle + noise, low, high).round().astype(dtype)


def write(name, voxels, before=0, behind=0):
    """`before` bytes between header and voxels, others behind these."""
    header = nibabel.Nifti1Header(endianness="<" if voxels.dtype.byteorder != ">" else ">")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header["vox_offset"] = 352 + before
    header["magic"] = b"n+1"
    content = header.binaryblock + bytes(4 + before) + voxels.tobytes("F") + bytes(behind)
    with open(name + ".nii.gz", "wb") as out:
        out.write(gzip.compress(content, 1, mtime=0))


exec(open(sys.argv[1]).read())
END
}

# Read them again, until a hand has been there in time; other bytes are noted each time.
helped() {
    cat "$MNT"/{tsnr,range}.nii >several
    cmp one several >>differ 2>&1
    [ "$(metric pieces_done_total)" -gt 0 ]
}

# alike NAME...: tsnr, and from its moments smallest and largest value, are those of one thread, and
# the helpers have helped.
alike() {
    local name
    cat >range.ini <<'END'
[range]
expr = max(bold) - min(bold) + sum(bold)
END
    for name in "$@"; do
        rm -rf "${DS:?}"/*
        mv "$name.nii.gz" "$DS/run.nii.gz"
        mount_derivfs "$DS" --cache_size=0 --recipes="$PWD/range.ini" --threads=1
        cat "$MNT"/{tsnr,range}.nii >one
        assert_equal "$(metric pieces_done_total)" 0
        unmount_derivfs
        mount_derivfs "$DS" --cache_size=0 --recipes="$PWD/range.ini" --threads="$THREADS"
        wait_until helped
        unmount_derivfs
        assert [ ! -s differ ]
    done
}

# bats test_tags=concurrent
@test "samples of one byte and two, of either order, and floats" {
    cat >make.py <<'END'
write("int16", series("<i2", -300, 3000))
write("big", series(">i2", -300, 3000))
write("uint16", series("<u2", 20000, 60000))
write("uint8", series("u1", 0, 250, (32, 32, 32, NVOL)))
write("int8", series("i1", -120, 120, (32, 32, 32, NVOL)))
write("float32", series("<i2", -300, 3000).astype("<f4") / 8)
END
    runs make.py
    alike int16 big uint16 uint8 int8 float32
}

# bats test_tags=concurrent
@test "voxels that begin at an odd byte, and bytes behind the last one" {
    cat >make.py <<'END'
write("odd", series("<i2", -300, 3000), before=17)
write("longer", series("<i2", -300, 3000), behind=100001)
END
    runs make.py
    alike odd longer
}

# bats test_tags=concurrent
@test "more threads than there are pieces" {
    THREADS=8
    cat >make.py <<'END'
write("masked", series("<i2", -300, 3000) * (np.arange(32) > 12)[None, :, None, None].astype("i2"))
END
    runs make.py
    alike masked
}
