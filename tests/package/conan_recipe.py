"""Runs cmake/conan/conanfile.py the way Conan 2 does, with stand-ins for the little of Conan that
the recipe uses.

usage: conan_recipe.py <checkout> <scratch directory> <expected version>
"""

import fnmatch
import importlib.util
import os
import shutil
import sys
import types


class ConanInvalidConfiguration(Exception):
    pass


class Version(tuple):
    def __new__(cls, text):
        return super().__new__(cls, (int(part) for part in str(text).split(".")))

    def __lt__(self, other):
        return tuple(self) < Version(other)


def check_min_cppstd(recipe, oldest):
    if int(recipe.settings.compiler.cppstd) < oldest:
        raise ConanInvalidConfiguration(f"C++{oldest} is needed")


def load(recipe, path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def copy(recipe, pattern, src, dst):
    for directory, _, names in os.walk(src):
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), src)
            if fnmatch.fnmatch(path, pattern):
                target = os.path.join(dst, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copy(os.path.join(src, path), target)


def add_module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)


add_module("conan", ConanFile=object)
add_module("conan.errors", ConanInvalidConfiguration=ConanInvalidConfiguration)
add_module("conan.tools")
add_module("conan.tools.build", check_min_cppstd=check_min_cppstd)
add_module("conan.tools.files", copy=copy, load=load)
add_module("conan.tools.scm", Version=Version)


class Settings:
    os = "Linux"

    class Compiler:
        def __init__(self, name, version, cppstd):
            self.name, self.version, self.cppstd = name, version, cppstd

        def __str__(self):
            return self.name

    def __init__(self, name, version, cppstd):
        self.compiler = Settings.Compiler(name, version, cppstd)

    def get_safe(self, name, default=None):
        value = self
        for part in name.split("."):
            value = getattr(value, part, default)
        return value


class CppInfo:
    def __init__(self):
        self.properties = {}
        self.set_property = self.properties.__setitem__


def files_below(directory):
    return {
        os.path.relpath(os.path.join(parent, name), directory)
        for parent, _, names in os.walk(directory)
        for name in names
    }


def main(checkout, scratch, expected_version):
    recipe_file = os.path.join(checkout, "cmake", "conan", "conanfile.py")
    sys.dont_write_bytecode = True  # the checkout stays as it is
    spec = importlib.util.spec_from_file_location("conanfile", recipe_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Recipe(module.LockmapConan):
        recipe_folder = os.path.dirname(recipe_file)
        export_sources_folder = source_folder = os.path.join(scratch, "source")
        package_folder = os.path.join(scratch, "package")
        settings = Settings("gcc", "12", "20")

        def __init__(self):
            self.cpp_info = CppInfo()
            self.info = types.SimpleNamespace(clear=lambda: None)
            self.requires = lambda reference, **traits: self.required.append(reference)
            self.required = []

    shutil.rmtree(scratch, ignore_errors=True)
    recipe = Recipe()
    recipe.set_version()
    assert recipe.version == expected_version, f"version {recipe.version}"
    recipe.export_sources()
    recipe.requirements()
    assert [reference.partition("/")[0] for reference in recipe.required] == ["abseil"]
    recipe.validate()
    for settings in (Settings("gcc", "12", "17"), Settings("gcc", "11", "20"),
                     Settings("clang", "13", "20")):
        recipe.settings = settings
        try:
            recipe.validate()
        except ConanInvalidConfiguration:
            continue
        raise AssertionError(f"accepts {vars(settings.compiler)}")
    recipe.settings = Recipe.settings
    recipe.package_id()
    recipe.package()
    wanted = {os.path.join("include", path) for path in files_below(f"{checkout}/include")}
    wanted.add(os.path.join("licenses", "LICENSE"))
    packaged = files_below(recipe.package_folder)
    assert packaged == wanted, f"packages {sorted(packaged ^ wanted)} wrongly"
    recipe.package_info()
    assert recipe.cpp_info.properties["cmake_target_name"] == "lockmap::lockmap"
    with open(os.path.join(checkout, "CMakeLists.txt"), encoding="utf-8") as file:
        linked = file.read()
    for component in recipe.cpp_info.requires:
        name = component.removeprefix("abseil::absl_")
        assert f"absl::{name}" in linked, f"{component} is not linked by CMakeLists.txt"
    assert len(recipe.cpp_info.requires) == 3


if __name__ == "__main__":
    main(*sys.argv[1:])
