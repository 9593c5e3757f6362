# `nix run .` and `nix run .#flash-firmware`.
{ pkgs, self }:
let
  inherit (pkgs) lib;
  packages = self.packages.${pkgs.stdenv.hostPlatform.system};
  # ancillary/hardware/README.md says what each of it means.
  flash = pkgs.writeShellApplication {
    name = "flash-firmware";
    runtimeInputs = [ pkgs.avrdude ];
    text = ''
      [ "$(id -u)" = 0 ] || { echo "flash-firmware: run it as root, on the Raspberry Pi that carries the board" >&2; exit 1; }
      exec avrdude -C +${../ancillary/hardware/avrdude.conf} -c watchtower -P "''${1:-gpiochip0}" -p t84 -i 5 \
        -U lfuse:w:0xe2:m -U hfuse:w:0xd5:m -U efuse:w:0xff:m \
        -U flash:w:${packages.firmware}/watchtower.hex:i
    '';
  };
  app = program: description: {
    type = "app";
    program = lib.getExe program;
    meta = { inherit description; };
  };
in
rec {
  default = run;
  run = app packages.watchtower "The daemon and its tools";
  flash-firmware = app flash "Writes firmware and fuses to the microcontroller of this Raspberry Pi";
}
