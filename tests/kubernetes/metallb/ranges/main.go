// Command ranges tells how MetalLB reads entries of an IPAddressPool's spec.addresses, by its own parser.
//
// It reads a JSON string a line, and writes for each the string and the reading, with a tab between: the first and the
// last address, "nothing" where it is accepted and has no address, or "refused".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"

	"go.universe.tf/metallb/internal/config"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var entry string
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			log.Fatalf("%s is no JSON string: %v", lines.Text(), err)
		}
		fmt.Printf("%s\t%s\n", lines.Text(), reading(entry))
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func reading(entry string) string {
	networks, err := config.ParseCIDR(entry)
	if err != nil {
		return "refused"
	}
	if len(networks) == 0 {
		return "nothing"
	}
	// The prefixes of a range follow each other, lowest first.
	first, _ := bounds(networks[0])
	_, last := bounds(networks[len(networks)-1])
	if first.Is4In6() && last.Is4In6() {
		first, last = first.Unmap(), last.Unmap()
	}
	return first.String() + "-" + last.String()
}

func bounds(network *net.IPNet) (netip.Addr, netip.Addr) {
	// An IPv4 address may have either length, whatever the length of its mask: the bits that are free count.
	ones, bits := network.Mask.Size()
	first, last := [16]byte(network.IP.To16()), [16]byte{}
	free := net.CIDRMask(128-(bits-ones), 128)
	for i := range first {
		last[i] = first[i] | ^free[i]
	}
	return netip.AddrFrom16(first), netip.AddrFrom16(last)
}
