"""Conan 2 recipe: conan create <checkout>/cmake/conan"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.scm import Version


class LockmapConan(ConanFile):
    name = "lockmap"
    description = "Thread-safe hash map and LRU cache with per-key locks"
    license = "MIT"
    topics = ("hash-map", "lru-cache", "concurrency", "locks", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def _checkout(self):
        return os.path.dirname(os.path.dirname(self.recipe_folder))

    def set_version(self):
        # The one place where the version lives.
        header = load(self, os.path.join(self._checkout, "include", "lockmap", "version.hpp"))
        parts = re.findall(r"#define LOCKMAP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
        self.version = ".".join(parts)

    def export_sources(self):
        for pattern in ("include/*.hpp", "LICENSE"):
            copy(self, pattern, self._checkout, self.export_sources_folder)

    def requirements(self):
        self.requires("abseil/[>=20220623]", transitive_headers=True, transitive_libs=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)
        oldest = {"gcc": "12", "clang": "14"}.get(str(self.settings.compiler))
        if oldest and Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(
                f"lockmap needs {self.settings.compiler} {oldest} or newer"
            )

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(
            self,
            "*.hpp",
            os.path.join(self.source_folder, "include"),
            os.path.join(self.package_folder, "include"),
        )

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "lockmap")
        self.cpp_info.set_property("cmake_target_name", "lockmap::lockmap")
        self.cpp_info.set_property("pkg_config_name", "lockmap")
        self.cpp_info.requires = [
            f"abseil::absl_{name}" for name in ("flat_hash_set", "hash", "strings")
        ]
        if self.settings.get_safe("os") in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
