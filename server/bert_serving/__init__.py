# Two distributions share this package (bert-serving-server and bert-serving-client); each ships this same
# file, so that Python 2.7, which has no implicit namespace packages, can install them side by side.
__path__ = __import__('pkgutil').extend_path(__path__, __name__)
