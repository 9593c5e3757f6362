# Raspberry Pi 5: the UART on the pins is one of several, and off unless asked for.
{ lib, ... }:
{
  hardware.watchtower.board = "pi5";
  hardware.raspberry-pi.configtxt.settings.all.dtparam = lib.mkAfter [ "uart0=on" ];
}
