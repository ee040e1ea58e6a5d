#!/usr/bin/env python3
"""Pack TensorFlow for CUDA, and everything else that the server imports, for a machine without a network.

    python tests/gpu/pack.py .gpu                     writes .gpu/part-00, part-01, ...; 38 MiB each
    python tests/gpu/pack.py .gpu -part_mib 60

On that machine, unpack with `cat part-* | xz -dT0 | tar -xf - -C SITE`. The packages are for Python 3.12 on x86-64.
This script needs pip, gcc, tar and xz. It saves 1.7 GB with empty libraries in place of those that TensorFlow looks for
at its start, but that BERT never calls (FFT, solver, sparse matrices, convolutions, collectives, random numbers).
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

GLIBC = ('2_28', '2_27', '2_17')
PLATFORMS = [*('manylinux_%s_x86_64' % version for version in GLIBC)]
PLATFORMS += [name + '_x86_64' for name in ('manylinux2014', 'manylinux2010', 'manylinux1')]

TENSORFLOW = """
    tensorflow==2.21.0 absl-py astunparse flatbuffers gast google-pasta grpcio h5py keras markdown-it-py mdurl ml-dtypes
    namex numpy opt-einsum optree packaging protobuf pygments requests rich six termcolor typing-extensions urllib3 wrapt
    wheel setuptools charset-normalizer idna certifi
""".split()
OURS = 'pyzmq orjson safetensors tqdm tokenizers psutil'.split()
NO_WHEELS = ['GPUtil']
CUDA = """
    nvidia-cublas-cu12==12.5.3.2 nvidia-cuda-runtime-cu12==12.5.82 nvidia-cuda-cupti-cu12==12.5.82
    nvidia-cuda-nvcc-cu12==12.5.82
""".split()
EMPTY = """
    libcufft.so.11 libcusolver.so.11 libcusparse.so.12 libcurand.so.10 libcudnn.so.9 libnccl.so.2 libnvJitLink.so.12
""".split()
LIBDEVICE = 'libdevice.10.bc'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('-part_mib', type=int, default=38, help='MiB per part')
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='bert-serving-pack-') as temporary:
        site = Path(temporary, 'site')
        (site / 'cuda' / 'bin').mkdir(parents=True)
        for wheel in download([*TENSORFLOW, *OURS], Path(temporary, 'wheels')):
            zipfile.ZipFile(wheel).extractall(site)
        pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', str(site)]
        subprocess.run([*pip, *NO_WHEELS], check=True)
        # GPUtil imports distutils, which Python 3.12 lacks. A setuptools on PYTHONPATH does not bring it.
        shutil.copytree(site / 'setuptools' / '_distutils', site / 'distutils')
        for wheel in download(CUDA, Path(temporary, 'cuda')):
            take_libraries(wheel, site / 'cuda')
        for name in EMPTY:
            command = ['gcc', '-shared', '-fPIC', '-x', 'c', '/dev/null', '-Wl,-soname,' + name]
            subprocess.run([*command, '-o', str(site / 'cuda' / name)], check=True)
        shutil.rmtree(site / 'tensorflow' / 'include')
        split(site, args.folder, args.part_mib)
    parts = sorted(args.folder.glob('part-*'))
    print('%d parts, %.0f MB' % (len(parts), sum(part.stat().st_size for part in parts) / 1e6))


def download(names: Sequence[str], folder: Path) -> list[str]:
    """Download the wheels of packages, without their dependencies."""
    options = ['--only-binary=:all:', '--python-version', '3.12', '--implementation', 'cp', '--no-deps', '--quiet']
    for platform in PLATFORMS:
        options += ['--platform', platform]
    subprocess.run([sys.executable, '-m', 'pip', 'download', *options, '-d', str(folder), *names], check=True)
    return glob.glob(str(folder / '*.whl'))


def take_libraries(wheel: str, folder: Path) -> None:
    """Unpack the libraries of a wheel into one folder, and the assembler that XLA runs."""
    archive = zipfile.ZipFile(wheel)
    for name in archive.namelist():
        base = os.path.basename(name)
        if '.so' in base and '/lib/' in name:
            target = folder / base
        elif base in ('ptxas', 'nvlink'):
            target = folder / 'bin' / base
        elif base == LIBDEVICE:
            target = folder / 'nvvm' / 'libdevice' / base
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(name))
        target.chmod(0o755)


def split(site: Path, folder: Path, part_mib: int) -> None:
    """Write the parts of the compressed archive of `site`."""
    for part in folder.glob('part-*'):
        part.unlink()
    tar = subprocess.Popen(['tar', '-C', str(site), '-cf', '-', '.'], stdout=subprocess.PIPE)
    xz = subprocess.Popen(['xz', '-T0', '-1'], stdin=tar.stdout, stdout=subprocess.PIPE)
    command = ['split', '-b', '%dM' % part_mib, '-d', '-', str(folder / 'part-')]
    subprocess.run(command, stdin=xz.stdout, check=True)
    if tar.wait() or xz.wait():
        raise SystemExit('tar or xz failed')


if __name__ == '__main__':
    main()
