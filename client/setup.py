from setuptools import setup

setup()  # all is in setup.cfg, which the setuptools of Python 2.7 can read as well
