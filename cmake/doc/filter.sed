# What Doxygen reads instead of a line of a header or a page.

# It looks for what `using Base::f;` names only in a base without template arguments, and does not
# take `->` for a part of a name.
s/^( *using Base = [A-Za-z_:]+)<.*>;/\1;/
s|^  using Base::operator->;|  /// Access to the members of the value. Precondition: there is one.\n  auto operator->() noexcept;|

# Overloads that say nothing more than others.
s|/// For a constant as the key\.|/// @private|
s|/// The same for a braced list of anything that keys can be made from, in any mix\.|/// @private|
s|(/// The same for a braced list of) keys, or of what keys.*|\1 anything that keys can be made from.|

# Types and concepts of the namespace detail, none of which users name.
s/(detail::)?(Filter|Indexed|Lookup|Maker|Makes|Range|Stored|Visitor)[A-Za-z]*<[^<>]*> ([A-Z])/class \3/g
s/typename detail::Defaults<Key>::Hash/absl::Hash<Key>/
s/typename detail::Defaults<Key>::Equal/std::equal_to<Key>/
s/(detail::)?StopToken/std::stop_token/
s/detail::HoldAwaitable<Base, /Awaitable</
s/, (detail::)?NoAsyncOptions>/>/
s/detail::AnyKey<Key>/Key/
s/, KeyTraits<Key, Hash, KeyEqual, Allocator>>|, Keys>;/>;/
s/(KeyGuard<Shard), detail::[^;]*>;/\1>;/
s/(template <class Shard), class Holder, detail::Mode held>/\1>/
s/typename Policy::Listener/absl::AnyInvocable<void(const Key\&, Value\&, EvictionCause) const>/
s/typename Policy::Rules::Weigher/absl::AnyInvocable<std::size_t(const Key\&, Value\&) const>/

# A guide is called by the first word of its title, whatever directory it is in.
1s/^# ([A-Z][a-z]+).*/& {#\L\1}/
# What a guide links to beside the guide is in the repository only.
s/\[([^]]*)\]\(\.\.[^)]*\)/\1/g
