# The target `doc`: the reference, as HTML. It fails if a public name is without documentation.
find_package(Doxygen REQUIRED)

set(LOCKMAP_DOC_DIR ${PROJECT_SOURCE_DIR}/cmake/doc)
set(LOCKMAP_DOC_INCLUDE ${PROJECT_SOURCE_DIR}/include)
set(LOCKMAP_DOC_OUTPUT ${PROJECT_BINARY_DIR}/doc)
configure_file(${LOCKMAP_DOC_DIR}/Doxyfile.in ${LOCKMAP_DOC_OUTPUT}/Doxyfile @ONLY)
add_custom_target(
  doc
  COMMAND ${DOXYGEN_EXECUTABLE} ${LOCKMAP_DOC_OUTPUT}/Doxyfile
  COMMENT "Writing the reference to ${LOCKMAP_DOC_OUTPUT}/html")
