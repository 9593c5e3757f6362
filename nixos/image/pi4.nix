# Raspberry Pi 4: its good UART goes to the pins; Bluetooth, which had it, is off.
{
  hardware.watchtower.board = "pi4";
  hardware.raspberry-pi.configtxt.deviceTreeOverlays.all = [ { disable-bt = { }; } ];
}
