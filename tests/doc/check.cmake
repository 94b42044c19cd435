# Passes if the reference can be made. With ADDED, which is put before the text BEFORE in HEADER:
# if it cannot, and the error is that NAME is not documented.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${SCRATCH}")
file(COPY "${INCLUDE}" DESTINATION "${SCRATCH}")
set(LOCKMAP_DOC_INCLUDE "${SCRATCH}/include")
set(LOCKMAP_DOC_OUTPUT "${SCRATCH}/output")
configure_file("${LOCKMAP_DOC_DIR}/Doxyfile.in" "${SCRATCH}/output/Doxyfile" @ONLY)

if(DEFINED ADDED)
  set(header "${SCRATCH}/include/lockmap/${HEADER}")
  file(READ "${header}" text)
  string(FIND "${text}" "${BEFORE}" position)
  if(position EQUAL -1)
    message(FATAL_ERROR "${HEADER} does not contain '${BEFORE}'")
  endif()
  string(SUBSTRING "${text}" 0 ${position} head)
  string(SUBSTRING "${text}" ${position} -1 tail)
  file(WRITE "${header}" "${head}${ADDED}${tail}")
endif()

execute_process(
  COMMAND "${DOXYGEN_EXECUTABLE}" "${SCRATCH}/output/Doxyfile"
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output)
message("${output}")
if(NOT DEFINED ADDED)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "the reference is not complete")
  endif()
elseif(result EQUAL 0)
  message(FATAL_ERROR "the reference lacks ${NAME}, and that is no error")
elseif(NOT output MATCHES "${NAME}[^\n]* is not documented")
  message(FATAL_ERROR "the error is not that ${NAME} lacks documentation")
endif()
