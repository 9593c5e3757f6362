# Raspberry Pi 3: its good UART goes to the pins; Bluetooth, which had it, is off.
{
  hardware.watchtower.board = "pi3";
  hardware.raspberry-pi.configtxt.deviceTreeOverlays.all = [ { disable-bt = { }; } ];
}
