#!/usr/bin/env python3
"""Runs what the README tells a new user to type.

Every ```sh block is run, in order, by one shell that stops at the first failure; blocks after `<!-- not run: why -->` are left
out. So a command that no longer works fails here, not at a reader's.

usage: readme.py README.md
"""

import re
import subprocess
import sys
import tempfile


def main():
    text = open(sys.argv[1]).read()
    script = ["set -euo pipefail"]
    for block in re.finditer(r"(<!-- not run: .* -->\n)?```sh\n(.*?)```", text, re.DOTALL):
        if not block.group(1):
            script.append(block.group(2))
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write("\n".join(script))
        file.flush()
        sys.exit(subprocess.run(["bash", file.name]).returncode)


if __name__ == "__main__":
    main()
