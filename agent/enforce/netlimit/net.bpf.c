// Pacing of what a cgroup sends, and of what it is sent. See DESIGN.md of agent/enforce for why it is done this way.
//
//go:build ignore

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char __license[] SEC("license") = "GPL";

#define NS_PER_S 1000000000ULL
#define LOOPBACK 1 /* the index of lo in every network namespace */

#define TX 0
#define RX 1

// A packet is kept, dropped so that the sender's socket sees a congested link, or (ingress) dropped.
#define KEEP 1
#define DROP_TX 2
#define DROP_RX 0

// limit is written by the agent, read here.
struct limit {
	__u64 rate;  // bits/s of IP packets; 0 is unlimited
	__u64 queue; // ns: a packet that would wait longer than this is dropped
	__u64 mark;  // ns: a packet that would wait longer than this is marked, where its flow speaks ECN
	__u64 slack; // ns: how much of the time in which the link was idle can be caught up
};

// state is written here, read by the agent.
struct state {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 next;    // ns, monotonic: when the paced link is free again
	__u64 bytes;   // let through
	__u64 packets; // let through
	__u64 drops;   // packets dropped
	__u64 marks;   // packets marked
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct limit);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

static __always_inline int is_tcp(struct __sk_buff *skb)
{
	__u8 proto = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_skb_load_bytes(skb, 9, &proto, 1);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_skb_load_bytes(skb, 6, &proto, 1);
	return proto == IPPROTO_TCP;
}

// segments of a packet that the device or the kernel has merged or will split.
static __always_inline __u64 segments(struct __sk_buff *skb)
{
	__u32 size = skb->gso_size;

	if (skb->gso_segs)
		return skb->gso_segs;
	return size ? (skb->len + size - 1) / size : 1;
}

// on_wire is the length of the packet with the headers that each of its segments has.
static __always_inline __u64 on_wire(struct __sk_buff *skb, __u64 segs)
{
	__u64 headers = skb->protocol == bpf_htons(ETH_P_IPV6) ? 72 : 52;

	return skb->len + (segs - 1) * headers;
}

// since is the time from which the paced link is free for a packet of now: in the past where it was idle.
static __always_inline __u64 since(__u64 next, __u64 now, __u64 slack)
{
	return next + slack > now ? next : now - slack;
}

static __always_inline void count(struct state *s, __u64 len, __u64 segs)
{
	__sync_fetch_and_add(&s->bytes, len);
	__sync_fetch_and_add(&s->packets, segs);
}

// Every packet gets the time at which a link of the set rate would have sent it; fq on the device holds it until then.
SEC("cgroup_skb/egress")
int pace_egress(struct __sk_buff *skb)
{
	__u32 tx = TX, rx = RX;
	struct limit *l = bpf_map_lookup_elem(&limits, &tx);
	struct limit *in = bpf_map_lookup_elem(&limits, &rx);
	struct state *s = bpf_map_lookup_elem(&states, &tx);
	struct state *r = bpf_map_lookup_elem(&states, &rx);

	if (!l || !in || !s || !r || skb->ifindex == LOOPBACK)
		return KEEP;

	__u64 now = bpf_ktime_get_ns();
	__u64 segs = segments(skb), len = on_wire(skb, segs), rate = l->rate;
	__u64 depart = 0;

	if (rate) {
		__u64 cost = len * 8 * NS_PER_S / rate, queue = l->queue, slack = l->slack;
		int drop = 0;

		bpf_spin_lock(&s->lock);
		depart = since(s->next, now, slack);
		if (depart > now + queue)
			drop = 1;
		else
			s->next = depart + cost;
		bpf_spin_unlock(&s->lock);
		if (drop) {
			__sync_fetch_and_add(&s->drops, 1);
			return DROP_TX;
		}
	}
	count(s, len, segs);

	// An acknowledgement leaves no sooner than the data it answers would have come in over a link of the set rate:
	// so the sender at the far end sees such a link, and keeps to its rate.
	if (in->rate && r->next > now && r->next > depart && r->next - now <= in->queue && is_tcp(skb))
		depart = r->next;
	if (depart > now && depart > skb->tstamp)
		skb->tstamp = depart;
	return KEEP;
}

// What comes in passes a virtual queue: it is not delayed, but counted against a link of the set rate, marked when that
// link's queue would be long, and dropped when it would be full.
SEC("cgroup_skb/ingress")
int pace_ingress(struct __sk_buff *skb)
{
	__u32 rx = RX;
	struct limit *l = bpf_map_lookup_elem(&limits, &rx);
	struct state *s = bpf_map_lookup_elem(&states, &rx);

	if (!l || !s || skb->ifindex == LOOPBACK)
		return KEEP;

	__u64 segs = segments(skb), len = on_wire(skb, segs), rate = l->rate;

	if (rate) {
		__u64 now = bpf_ktime_get_ns(), cost = len * 8 * NS_PER_S / rate, free;
		__u64 queue = l->queue, slack = l->slack;
		int drop = 0;

		bpf_spin_lock(&s->lock);
		free = since(s->next, now, slack);
		if (free > now + queue)
			drop = 1;
		else
			s->next = free + cost;
		bpf_spin_unlock(&s->lock);
		if (drop) {
			__sync_fetch_and_add(&s->drops, 1);
			return DROP_RX;
		}
		if (free > now + l->mark && bpf_skb_ecn_set_ce(skb))
			__sync_fetch_and_add(&s->marks, 1);
	}
	count(s, len, segs);
	return KEEP;
}
