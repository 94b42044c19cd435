<?xml version="1.0" encoding="UTF-8"?>
<!-- Says that the bases of the maps and of the guards are documented elsewhere. So Doxygen writes no
     pages for them, but takes what `using Base::f;` names in the derived classes, with its
     documentation, from the header. A search for a base leads to LockMap, or to Entry. -->
<tagfile>
  <compound kind="class">
    <name>lockmap::detail::ShardedMap</name>
    <filename>classlockmap_1_1LockMap.html</filename>
  </compound>
  <compound kind="class">
    <name>lockmap::detail::WritableEntry</name>
    <filename>classlockmap_1_1Entry.html</filename>
  </compound>
  <compound kind="class">
    <name>lockmap::detail::ReadableEntry</name>
    <filename>classlockmap_1_1Entry.html</filename>
  </compound>
</tagfile>
