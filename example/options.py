"""The options that the examples have in common: where the server is."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def make_parser(about):
    """A parser with these options, whose help is `about`, the docstring of an example."""
    parser = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter, add_help=False)
    parser.add_argument('-h', '-help', '--help', action='help', help='show this and exit')
    parser.add_argument('-ip', default='localhost', help='address of the server (default: localhost)')
    parser.add_argument('-port', type=int, default=5555, help='its -port (default: 5555)')
    parser.add_argument('-port_out', type=int, default=5556, help='its -port_out (default: 5556)')
    return parser
