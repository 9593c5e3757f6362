# Every option of the modules, for ancillary/docs/options.md. For tests/nix/render.
{ options, pkgs, ... }:
let
  inherit (pkgs) lib;
  said = value: if lib.isAttrs value && value ? text then value.text else value;
  shown =
    option:
    lib.mapAttrs (_: said) (
      lib.filterAttrs (
        name: _:
        lib.elem name [
          "name"
          "type"
          "description"
          "default"
          "example"
        ]
      ) option
    );
  # What is below a free form is the configuration's, which has a document of its own.
  all = lib.concatMap lib.optionAttrSetToDocList [
    options.services.watchtower
    options.services.watchtower-fleet
    options.hardware.watchtower
  ];
in
map shown (lib.filter (option: option.visible && !option.internal) all)
