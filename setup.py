"""Which packages and data a wheel holds: found, so that none is forgotten. All else is in pyproject.toml."""

from setuptools import find_namespace_packages, find_packages, setup

CODE = {"deca": "backend/deca", "deca_blender": "deca_blender", "deca_training": "training/deca_training"}
DATA = {"deca.data": "assets"}  # `deca.assets` looks there
WORDS = {"deca_blender": ["languages/*.po"]}


def within(top: str, names: list[str]) -> list[str]:
    return [top, *(f"{top}.{name}" for name in names)]


data = [name for top, folder in DATA.items() for name in within(top, find_namespace_packages(folder))]
code = [name for top, folder in CODE.items() for name in within(top, find_packages(folder))]
setup(packages=code + data, package_dir=CODE | DATA, package_data={name: ["*"] for name in data} | WORDS)
