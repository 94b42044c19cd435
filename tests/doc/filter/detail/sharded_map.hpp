class ShardedMap {
 public:
  using key_type = Key;
  using Entry = lockmap::Entry<Shard>;
};
