# Prints, about four times a second: the time, how many redis-server processes there are, and of the unit $1 the CPU used and
# throttled (microseconds), the quota and its period, memory used, high and max. A dash is what is not there.
shopt -s nullglob
unit=/sys/fs/cgroup/system.slice/$1
exec {never}<> <(:)
value() { # value FILE: reads the first line into REPLY
	REPLY=-
	{ read -r <"$1" || REPLY=-; } 2>/dev/null
}
while :; do
	processes=0
	for comm in /proc/[0-9]*/comm; do
		value "$comm"
		[[ $REPLY == redis-server ]] && ((processes++))
	done
	usage=- throttled=-
	if [[ -e $unit/cpu.stat ]]; then
		while read -r key n; do
			case $key in
			usage_usec) usage=$n ;;
			throttled_usec) throttled=$n ;;
			esac
		done 2>/dev/null <"$unit/cpu.stat"
	fi
	value "$unit/cpu.max"; quota=$REPLY
	value "$unit/memory.current"; memory=$REPLY
	value "$unit/memory.high"; high=$REPLY
	value "$unit/memory.max"; max=$REPLY
	[[ $quota == - ]] && quota="- -"
	echo "$EPOCHREALTIME $processes $usage $throttled $quota $memory $high $max"
	read -r -t 0.25 -u "$never"
done
