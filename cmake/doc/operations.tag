<?xml version="1.0" encoding="UTF-8"?>
<!-- Says that the base of the maps is documented elsewhere. So Doxygen writes no page for it, but
     takes what `using Base::f;` names in the maps, with its documentation, from the header. A
     search for the base leads to LockMap. -->
<tagfile>
  <compound kind="class">
    <name>lockmap::detail::ShardedMap</name>
    <filename>classlockmap_1_1LockMap.html</filename>
  </compound>
</tagfile>
