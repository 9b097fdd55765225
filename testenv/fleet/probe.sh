# Prints, about twice a second: the time, how many redis-server processes there are, and of the unit $1 the CPU used and
# throttled (microseconds), the quota and its period, memory used, high and max. A dash is what is not there.
shopt -s nullglob
unit=/sys/fs/cgroup/system.slice/$1
exec {never}<> <(:)
value() { # value FILE: reads the first line into REPLY
	{ read -r <"$1" || REPLY=-; } 2>/dev/null || REPLY=-
}
redis() { # redis PID...: counts those that are Redis
	local pid
	for pid; do
		value "/proc/$pid/comm"
		[[ $REPLY == redis-server ]] && ((processes++))
	done
}
# To look at every process takes a tenth of a second here: that is done for one sample in twelve, and each time for the unit.
for ((pass = 0; ; pass++)); do
	processes=0
	if ((pass % 12 == 0)); then
		cd /proc && redis [0-9]*
	elif [[ -e $unit/cgroup.procs ]]; then
		mapfile -t pids 2>/dev/null <"$unit/cgroup.procs"
		redis "${pids[@]}"
	fi
	usage=- throttled=-
	if [[ -e $unit/cpu.stat ]]; then
		mapfile -t stat 2>/dev/null <"$unit/cpu.stat"
		for line in "${stat[@]}"; do
			case $line in
			usage_usec*) usage=${line#* } ;;
			throttled_usec*) throttled=${line#* } ;;
			esac
		done
	fi
	value "$unit/cpu.max"; quota=$REPLY
	value "$unit/memory.current"; memory=$REPLY
	value "$unit/memory.high"; high=$REPLY
	value "$unit/memory.max"; max=$REPLY
	[[ $quota == - ]] && quota="- -"
	echo "$EPOCHREALTIME $processes $usage $throttled $quota $memory $high $max"
	read -r -t 0.4 -u "$never"
done
