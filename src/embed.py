#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a C file with the contents of text files: embed.py OUT.c NAME=FILE...

The build calls it, so that pages, scripts and styles are files that editors and linters know.
"""

import json
import sys


def main():
    out, *texts = sys.argv[1:]
    with open(out, "w", encoding="ascii") as f:
        for text in texts:
            name, _, path = text.partition("=")
            with open(path, encoding="ascii") as source:
                # JSON quotes ASCII as C does
                lines = "\n".join("    " + json.dumps(line) for line in source)
            f.write(f"extern const char {name}[];\nconst char {name}[] =\n{lines};\n")


main()
