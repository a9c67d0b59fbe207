#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# contrib/setup where every Debian package is installed and npm does not work.

# bats file_tags=release,once

load helper

setup() {
    common_setup
    mkdir -p tree/contrib/viewer bin
    cp "$ROOT/contrib/setup" tree/contrib
    cp "$ROOT/contrib/viewer/package.json" tree/contrib/viewer
    cat >bin/dpkg-query <<'END'
#!/bin/sh
shift 3 # -W -f FORMAT
printf 'installed %s\n' "$@"
END
    cat >bin/npm <<'END'
#!/bin/sh
echo 'npm error code ENOTFOUND' >&2
exit 1
END
    chmod +x bin/*
    PATH=$PWD/bin:$PATH
}

@test "setup needs no npm for a build" {
    run -0 tree/contrib/setup
    assert_output ''
}

@test "setup says which npm package is missing, why, and what to do" {
    run -1 tree/contrib/setup view
    assert_line 'npm error code ENOTFOUND'
    assert_line --regexp "^contrib/setup: cannot install NiiVue [0-9.]+: 'npm install .*' failed in .*/tree/contrib/viewer$"
    assert_line --regexp 'check that npm reaches its registry .* run this again$'
    run -1 tree/contrib/setup tests
    assert_line 'npm error code ENOTFOUND'
    assert_line --regexp "^contrib/setup: cannot install bids-validator [0-9.]+: 'npm pack .*' failed in .*/tree/build-npm/bids-validator$"
}

@test "setup refuses a package that is not the one that was chosen" {
    printf '#!/bin/sh\necho other >bids-validator-1.15.0.tgz\n' >bin/npm
    run -1 tree/contrib/setup tests
    assert_output 'contrib/setup: bids-validator-1.15.0.tgz is not the file that it should be'
}
