# SPDX-License-Identifier: MIT
"""The command line of every tool: a wrong option is a wrong request like any other, one sentence and exit 2."""

import argparse

from common.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that does not print its whole usage for a mistyped word."""

    def error(self, message):
        raise UserError(f"{message}; see --help")
