# shellcheck shell=bash
# The settings of `run` and `compare`, which source this file: every one is checked here, and a wrong one is refused in one
# sentence, before anything is built (`iso/run/run --check`, which the Makefile calls first). What the monitor takes, its own parser says
# (parameters.c). Also what follows from them: the initrds by number, and the memory that kernel and initrds need.

# one_of NAME WORD...: or nothing.
one_of() {
    local name=$1 word
    shift
    for word in '' "$@"; do
        [ "${!name}" = "$word" ] && return
    done
    die "$name=${!name}: it takes $(sed 's/ / or /g' <<<"$*")"
}

# number NAME LOWEST HIGHEST
number() {
    { [[ ${!1} =~ ^[0-9]{1,10}$ ]] && ((10#${!1} >= $2 && 10#${!1} <= $3)); } || die "$1=${!1}: it takes a number from $2 to $3"
}

# not_here NAME... WHERE: settings of the other command, which would be without effect.
not_here() {
    local where=${*: -1} name
    for name in "${@:1:$#-1}"; do
        [ -z "${!name:-}" ] || die "$name=${!name} has no effect here: $where"
    done
}

# Mebibytes of MEM=, rounded up.
mebibytes() {
    [[ $1 =~ ^[1-9][0-9]{0,8}[kKmMgG]$ ]] || die "MEM=$1: write it as a number with K, M or G, such as 512M or 2G"
    case $1 in
    *[gG]) echo $((${1%?} * 1024)) ;;
    *[mM]) echo "${1%?}" ;;
    *) echo $(((${1%?} + 1023) / 1024)) ;;
    esac
}

# The monitor's words as its own parser sees them.
check_monitor_words() {
    local problem
    problem=$("$BUILD/iso/parameters" "$1") || die "${problem:-$BUILD/iso/parameters does not run} (${*:2})"
}

check_cpu() {
    local models
    [ -n "$CPU" ] || return 0
    if [ "$EMU" = bochs ]; then
        models=$(perl -I"$iso/run" -MBochs -e 'Bochs::model_find(shift)' "$CPU" 2>&1) || die "CPU=$CPU: ${models#emulate: }"
    else
        qemu-system-x86_64 -cpu help | awk -v model="${CPU%%,*}" '$1 == model || ($1 == "x86" && $2 == model) { found = 1 } END { exit !found }' ||
            die "CPU=$CPU: QEMU has no such model (qemu-system-x86_64 -cpu help lists them)"
    fi
}

# check_guest_words NAME WORDS: all words of a guest's kernel, which reach it as they are. GRUB takes some characters for its own, and
# a kernel has only so much room for them (cmdline_size at 0x238).
check_guest_words() {
    local room=2047 quotes=${2//[^\"]/}
    [[ $2 != *[$'\n'"{}|&\$;<>'\\"]* && " $2" != *' #'* ]] ||
        die "$1=${!1}: GRUB, which starts the guest, takes these characters for its own: { } | & \$ ; < > ' \\, a # before a word, and a new line"
    ((${#quotes} % 2 == 0)) || die "$1=${!1}: a \" lacks its second one"
    [ ! -f "$GUEST_KERNEL" ] || room=$(field "$GUEST_KERNEL" 568 4)
    ((${#2} <= room)) || die "$1= is too long: with it the guest's command line has ${#2} characters, and its kernel takes $room"
}

# What PROG= names, as guest-images/take-prog takes it.
check_prog() {
    local scratch problem
    [ -n "$PROG" ] || return 0
    scratch=$(mktemp -d)
    problem=$("$iso/../guest-images/take-prog" "$PROG" "$scratch/tree" 2>&1) || { rm -rf "$scratch"; die "${problem#take-prog: }"; }
    rm -rf "$scratch"
}

# built_here NAME: what goes into our initrd, and is read by its init.
built_here() { [[ ${INITRDS# } = "$BUILD"/* ]] || die "$1= goes into the initrd that is built here: leave INITRD= out"; }

# Names of packages that the index has: all else would be seen only after minutes.
check_packages() {
    local name
    [ -n "$PACKAGES" ] || return 0
    [ "$(id -u)" = 0 ] || die "PACKAGES= needs root: packages are installed in a chroot"
    built_here PACKAGES
    for name in $PACKAGES; do
        [[ $name =~ ^[a-z0-9][a-z0-9+.-]+$ ]] || die "PACKAGES=$PACKAGES: $name is no name of a package; several have spaces between them"
        apt-cache show "$name" >/dev/null 2>&1 || die "PACKAGES=$PACKAGES: Debian's index here has no package $name"
    done
}

# Modules that Debian's kernel has; where that is still to be fetched, guest-images/take-modules says it then.
check_modules() {
    local scratch problem
    [ -n "$MODULES" ] || return 0
    built_here MODULES
    [[ $GUEST_KERNEL = "$BUILD"/guest/* ]] || die "MODULES= are those of Debian's kernel: leave KERNEL= out"
    [[ $MODULES != *[^a-zA-Z0-9_\ -]* ]] || die "MODULES=$MODULES: it takes names of modules, with spaces between them"
    [ -f "$BUILD/guest/kernel/version" ] || return 0
    scratch=$(mktemp -d)
    # shellcheck disable=SC2086 # several modules are several words
    problem=$("$iso/../guest-images/take-modules" --output "$scratch" "$BUILD/guest/kernel/root" $MODULES 2>&1) ||
        { rm -rf "$scratch"; die "MODULES=$MODULES: ${problem#take-modules: }"; }
    rm -rf "$scratch"
}

# A workload of bench, or a group of them. Programs in /prog are some too: of PROG=, or of an initrd of one's own; and with PACKAGES=
# those that such have.
is_workload() {
    [ -n "$PROG" ] || { [ -n "$PACKAGES" ] && [ -f "$iso/../guest-images/rows/$1" ]; } || [[ ${INITRDS# } = *" "* || ${INITRDS# } != "$BUILD"/* ]] ||
        awk -F '"' -v name="$1" '/^WORKLOAD/ && ($2 == name || $4 == name) { found = 1 } END { exit !found }' \
            "$iso/../guest-images/bench/workloads.def"
}

# What an option of bench has behind it: a number, or sizes.
check_bench_option() {
    case $1 in
    -[rit]) [[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "BENCH=$BENCH: $2 should be a number" ;;
    -w) [[ $2 =~ ^[0-9]+[KMGT](/[0-9]+[KMGT])*$ ]] || die "BENCH=$BENCH: $2 should be sizes as 64M/1G" ;;
    -z) [[ $2 =~ ^(4K|2M|1G)(/(4K|2M|1G))*$ ]] || die "BENCH=$BENCH: $2 should be sizes of pages, of 4K/2M/1G" ;;
    esac
}

# The words of bench: options with what they take, and names of workloads and groups.
check_bench() {
    local word option=''
    for word in ${BENCH//,/ }; do
        case $option$word in
        -[ritwz]) option=$word ;;
        -[ritwz]?*)
            word=$option$word
            check_bench_option "${word:0:2}" "${word:2}"
            option=''
            ;;
        -*) die "BENCH=$BENCH: bench has the options -r, -i, -t, -w and -z" ;;
        *) is_workload "$word" || die "BENCH=$BENCH: there is no workload or group $word" ;;
        esac
    done
    [ -z "$option" ] || die "BENCH=$BENCH: $option lacks what it takes"
}

field() { od -A n -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; } # FILE OFFSET BYTES

# check_file NAME FILE: GRUB's lists and make's have spaces between their words.
check_file() {
    [[ $2 != *[[:space:]]* ]] || die "$1=$2: a name with spaces cannot be given, to make neither"
    { [ -f "$2" ] && [ -r "$2" ]; } || die "$1=$2: there is no such file that can be read"
}

# Documentation/arch/x86/boot.rst: magic at 0x202, version at 0x206, xloadflags at 0x236.
check_kernel() {
    check_file KERNEL "$GUEST_KERNEL"
    { [ "$(stat -L -c %s "$GUEST_KERNEL")" -gt 1024 ] && [ "$(field "$GUEST_KERNEL" 514 4)" = 1400005704 ]; } ||
        die "KERNEL=$GUEST_KERNEL: this is no bzImage; give arch/x86/boot/bzImage or a distribution's vmlinuz"
    { [ "$(field "$GUEST_KERNEL" 518 2)" -ge 524 ] && (($(field "$GUEST_KERNEL" 566 2) & 1)); } ||
        die "KERNEL=$GUEST_KERNEL: this kernel has no 64-bit entry point; give one for x86-64, Linux 3.8 or newer"
}

# What an initrd holds, in bytes, as far as it can be seen: the kernel unpacks it beside the file itself.
unpacked() {
    local packer=cat
    case $(od -A n -t x1 -N 4 "$1" | tr -d ' ') in
    1f8b*) packer='gzip -dc' ;;
    fd377a58) packer='xz -dc' ;;
    28b52ffd) packer='zstd -dc' ;;
    02214c18) packer='lz4 -dc' ;;
    esac
    { $packer 2>/dev/null || true; } <"$1" | wc -c
}

# Of kernel and initrds, which exist here or are still to be built: those are small. MEM is what the guest has.
check_memory() {
    local kernel_end initrd_bytes=0 content=0 file least have=$(($1 * 1048576))
    ((have <= 3 * 1073741824)) || have=$((3 * 1073741824))
    [ -f "$GUEST_KERNEL" ] || return 0
    kernel_end=$(($(field "$GUEST_KERNEL" 600 8) + $(field "$GUEST_KERNEL" 608 4)))
    for file in $INITRDS; do
        [ -f "$file" ] || continue
        initrd_bytes=$((initrd_bytes + $(stat -L -c %s "$file") + 4096))
        content=$((content + $(unpacked "$file")))
    done
    least=$(((kernel_end + initrd_bytes + 1048575) / 1048576))
    ((least * 1048576 <= have)) || die "MEM=$MEM does not suffice: kernel and initrd need ${least}M below 3G to be loaded"
    # The root of an initramfs is a tmpfs, which takes at most half of the memory.
    least=$(((kernel_end + initrd_bytes + content) / 1048576 + 1))
    ((least * 1048576 >= content * 2)) || least=$((content * 2 / 1048576 + 1))
    (($1 >= least)) ||
        die "MEM=$MEM does not suffice: the initrd holds $((content / 1048576)) MiB, and the kernel unpacks it in memory: MEM=${least}M at least"
}

# Further memory of the machine for what GRUB loads beside the guest's memory.
modules_mebibytes() {
    local file bytes=0
    for file in "$GUEST_KERNEL" $INITRDS; do
        bytes=$((bytes + $(stat -L -c %s "$file")))
    done
    echo $((bytes / 1048576 + 1))
}

# The initrds in an image: the options of make-image, GRUB's words for a native boot, and lines for the monitor.
initrd_options() {
    local number=0 file
    for file in $INITRDS; do
        number=$((number + 1))
        image+=(--file "initrd-$number=$file")
        native_initrds+=" /initrd-$number"
        module_lines+="    module2 /initrd-$number initrd"$'\n'
    done
}
image=() native_initrds='' module_lines=''

# Files of one's own: the others are built later.
check_files() {
    local file
    [[ $GUEST_KERNEL = "$BUILD"/guest/* ]] || check_kernel
    for file in $INITRDS; do
        [[ $file = "$BUILD"/* ]] || check_file INITRD "$file"
    done
}
