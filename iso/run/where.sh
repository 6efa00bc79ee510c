# shellcheck shell=bash
# Where an image can run with VT-x, for `run` and `compare`, which source this file: the choice between QEMU with KVM and
# Bochs, said with its reason. Starts nothing. Takes the settings of the environment that both have, and sets EMU and accel (of
# QEMU).

me=$(basename "$0")
say() { echo "$me: $*"; }
die() { echo "$me: $*" >&2; exit 1; }

# Empty if this host can give a guest VT-x by KVM, else the reason why it cannot.
kvm_lacks() {
    local nested=/sys/module/kvm_intel/parameters/nested
    [ -e /dev/kvm ] || { echo "this host has no /dev/kvm"; return; }
    { [ -r /dev/kvm ] && [ -w /dev/kvm ]; } || { echo "/dev/kvm may not be opened by $(id -un)"; return; }
    grep -qw vmx /proc/cpuinfo || { echo "this host's processor offers no VT-x"; return; }
    [ -r "$nested" ] || { echo "KVM's Intel module is not loaded"; return; }
    grep -q '^[Y1]' "$nested" || echo "nested virtualisation is off (modprobe -r kvm_intel; modprobe kvm_intel nested=1)"
}

choose_emulator() {
    local lacks
    lacks=$(kvm_lacks)
    # shellcheck disable=SC2034 # as below
    accel=tcg
    if [ -z "$EMU" ]; then
        if [ -z "$lacks" ]; then EMU=qemu; else EMU=bochs; fi
    fi
    case $EMU in
    qemu)
        if [ -z "$lacks" ]; then
            accel=kvm # shellcheck disable=SC2034
            say "QEMU with KVM: this host offers nested VT-x"
        elif [ -n "$NATIVE" ]; then
            say "QEMU without KVM: $lacks; enough for a native boot"
        else
            say "QEMU without KVM: $lacks. It has no VT-x, so expect the monitor's refusal; Bochs has VT-x: EMU=bochs"
        fi
        ;;
    bochs) say "Bochs, which emulates VT-x instruction by instruction${lacks:+ (not QEMU with KVM: $lacks)}" ;;
    *) die "EMU=$EMU: bochs or qemu" ;;
    esac
}

# The sentence about a fault of Faults.pm that this machine's Bochs has; empty where it does not have it.
bochs_fault() { perl -I"$iso/run" -MFaults -e 'my $row = Faults::bochs_fault(@ARGV); print Faults::sentence($row) if $row' "$1"; }

# The monitor's words, with pku=off in a Bochs that gets protection keys wrong unless they say something about it.
monitor_words() {
    local fault
    [[ $EMU == bochs && $1 != *pku=* ]] && fault=$(bochs_fault keys) && [ -n "$fault" ] || { echo "$1"; return; }
    say "$fault" >&2
    echo "${1:+$1 }pku=off"
}

# shellcheck disable=SC2034 # used by those who source this
NATIVE=${NATIVE:-} BUILD=${BUILD:-build} MEM=${MEM:-512M} EMU=${EMU:-} CPU=${CPU:-} APPEND=${APPEND:-} ARGS=${ARGS:-}
# shellcheck disable=SC2034
MONITOR=${MONITOR:-$BUILD/penumbra.elf} GUEST_KERNEL=${GUEST_KERNEL:-$BUILD/guest/vmlinuz}
# shellcheck disable=SC2034
MONITOR_MIB=256 # what the machine has beyond the guest's memory: monitor, modules as GRUB loads them, firmware
