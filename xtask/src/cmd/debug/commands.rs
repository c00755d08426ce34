//! The command files of the debuggers. Pure.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kdk_kmod_link::layout::Placed;

/// The address of QEMU's gdb stub.
pub enum Endpoint {
    /// A socket, which only its owner can open. It needs gdb 8.3 or later.
    Unix(PathBuf),
    /// A TCP port of this host.
    Tcp(SocketAddr),
}

/// The module, for a debugger.
pub struct Module {
    /// The file with its symbols.
    pub path: PathBuf,
    /// The places of its sections, relative to its load address.
    pub sections: Vec<Placed>,
}

/// What a debugger needs for a guest.
pub struct Session {
    /// The kernel with its symbols.
    pub kernel: PathBuf,
    /// The tree that its debug information calls `/usr/src`.
    pub tree: Option<PathBuf>,
    /// The first C function of the kernel.
    pub entry: &'static str,
    /// The module, if this guest has one.
    pub module: Option<Module>,
    /// The address of the gdb stub.
    pub endpoint: Endpoint,
    /// Whether the guest is paused before its first instruction.
    pub wait: bool,
}

/// Returns the commands for gdb.
pub fn gdb(session: &Session) -> String {
    let mut text = String::from(
        "# Written by `cargo xtask debug` for one machine.\n\
         # Most builds of gdb refuse FreeBSD's OS ABI.\n\
         set osabi none\n\
         set architecture i386:x86-64\n",
    );
    let _ = writeln!(text, "file {}", quoted(&session.kernel));
    if let Some(tree) = &session.tree {
        let _ = writeln!(text, "set substitute-path /usr/src {}", quoted(tree));
    }
    if let Some(module) = &session.module {
        text.push_str(&gdb_module(module));
    }
    text.push_str(KDK_BREAK);
    let _ = match &session.endpoint {
        Endpoint::Unix(path) => writeln!(text, "target remote {}", path.display()),
        Endpoint::Tcp(address) => writeln!(text, "target remote {address}"),
    };
    if session.wait {
        // Before that, the processor is in modes that gdb does not support.
        let _ = writeln!(text, "thbreak {}\ncontinue", session.entry);
    } else if session.module.is_some() {
        text.push_str("kdk-module\n");
    }
    text
}

/// Hardware breakpoints, which do not change the guest's memory: they work
/// before the kernel is loaded, and the kernel does not see them.
const KDK_BREAK: &str = "
define kdk-break
  hbreak $arg0
end
document kdk-break
Stop at FUNCTION with a hardware breakpoint.
end

";

/// Returns the command that loads the module's symbols. Only the kernel knows
/// the module's address, which can change with each load, so the command reads
/// its list of files.
fn gdb_module(module: &Module) -> String {
    let mut format = format!("add-symbol-file {}", quoted(&module.path))
        .replace('%', "%%")
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let mut values = String::new();
    for section in &module.sections {
        let _ = write!(format, " -s {} %#lx", section.name);
        let _ = write!(values, ", $kdk_base + {:#x}", section.offset);
    }
    format!(
        "
define kdk-module
  set $kdk_base = (unsigned long)0
  set $kdk_file = linker_files.tqh_first
  while $kdk_file
    # The bytes of \"kdk.ko\" and their NUL.
    if (*(unsigned long *)$kdk_file->filename & 0xffffffffffffff) == 0x6f6b2e6b646b
      set $kdk_base = (unsigned long)$kdk_file->address
    end
    set $kdk_file = $kdk_file->link.tqe_next
  end
  if $kdk_base
    set confirm off
    eval \"{format}\"{values}
    set confirm on
  else
    echo kdk.ko is not loaded yet: run kdk-module again when it is\\n
  end
end
document kdk-module
Load the symbols of kdk.ko at its current address.
end
"
    )
}

/// Returns the commands for lldb. It has no loops, so the user must find the
/// module's address.
pub fn lldb(session: &Session) -> String {
    let mut text = String::from("# Written by `cargo xtask debug` for one machine.\n");
    if let Some(tree) = &session.tree {
        let tree = quoted(tree);
        let _ = writeln!(text, "settings set target.source-map /usr/src {tree}");
    }
    let kernel = quoted(&session.kernel);
    let _ = writeln!(text, "target create --arch x86_64 {kernel}");
    if let Some(module) = &session.module {
        let path = quoted(&module.path);
        let _ = writeln!(
            text,
            "# kdk.ko: walk the list from `expression linker_files.tqh_first` by link.tqe_next to the file \
             named\n# kdk.ko; with BASE, its address:\n# target modules add {path}\n\
             # target modules load --file {path}{}",
            module
                .sections
                .iter()
                .map(|section| format!(" {} BASE+{:#x}", section.name, section.offset))
                .collect::<String>()
        );
    }
    let _ = match &session.endpoint {
        Endpoint::Tcp(address) => writeln!(text, "gdb-remote {address}"),
        Endpoint::Unix(path) => writeln!(text, "process connect unix-connect://{}", path.display()),
    };
    if session.wait {
        let _ = writeln!(
            text,
            "breakpoint set --hardware --one-shot true --name {}\ncontinue",
            session.entry
        );
    }
    text
}

fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains([' ', '"', '\'', '\\']) {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(endpoint: Endpoint) -> Session {
        let placed = |name: &str, offset| Placed {
            name: name.into(),
            offset,
        };
        Session {
            kernel: "/store/kernel.debug".into(),
            tree: Some("/home/me/my trees/freebsd".into()),
            entry: "hammer_time",
            module: Some(Module {
                path: "/store/100%/kdk.ko".into(),
                sections: vec![placed(".text", 0), placed(".rodata", 0xeb10)],
            }),
            endpoint,
            wait: false,
        }
    }

    #[test]
    fn commands_of_gdb() {
        insta::assert_snapshot!(gdb(&session(Endpoint::Unix("/run/gdb.sock".into()))), @r#"
        # Written by `cargo xtask debug` for one machine.
        # Most builds of gdb refuse FreeBSD's OS ABI.
        set osabi none
        set architecture i386:x86-64
        file /store/kernel.debug
        set substitute-path /usr/src "/home/me/my trees/freebsd"

        define kdk-module
          set $kdk_base = (unsigned long)0
          set $kdk_file = linker_files.tqh_first
          while $kdk_file
            # The bytes of "kdk.ko" and their NUL.
            if (*(unsigned long *)$kdk_file->filename & 0xffffffffffffff) == 0x6f6b2e6b646b
              set $kdk_base = (unsigned long)$kdk_file->address
            end
            set $kdk_file = $kdk_file->link.tqe_next
          end
          if $kdk_base
            set confirm off
            eval "add-symbol-file /store/100%%/kdk.ko -s .text %#lx -s .rodata %#lx", $kdk_base + 0x0, $kdk_base + 0xeb10
            set confirm on
          else
            echo kdk.ko is not loaded yet: run kdk-module again when it is\n
          end
        end
        document kdk-module
        Load the symbols of kdk.ko at its current address.
        end

        define kdk-break
          hbreak $arg0
        end
        document kdk-break
        Stop at FUNCTION with a hardware breakpoint.
        end

        target remote /run/gdb.sock
        kdk-module
        "#);
    }

    #[test]
    fn commands_of_gdb_for_a_guest_without_module_from_its_start() {
        let session = Session {
            module: None,
            tree: None,
            wait: true,
            entry: "kdk_start",
            ..session(Endpoint::Unix("/run/gdb.sock".into()))
        };
        insta::assert_snapshot!(gdb(&session), @r"
        # Written by `cargo xtask debug` for one machine.
        # Most builds of gdb refuse FreeBSD's OS ABI.
        set osabi none
        set architecture i386:x86-64
        file /store/kernel.debug

        define kdk-break
          hbreak $arg0
        end
        document kdk-break
        Stop at FUNCTION with a hardware breakpoint.
        end

        target remote /run/gdb.sock
        thbreak kdk_start
        continue
        ");
    }

    #[test]
    fn commands_of_lldb() {
        let endpoint = Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 43211)));
        let session = Session {
            wait: true,
            ..session(endpoint)
        };
        insta::assert_snapshot!(lldb(&session), @r#"
        # Written by `cargo xtask debug` for one machine.
        settings set target.source-map /usr/src "/home/me/my trees/freebsd"
        target create --arch x86_64 /store/kernel.debug
        # kdk.ko: walk the list from `expression linker_files.tqh_first` by link.tqe_next to the file named
        # kdk.ko; with BASE, its address:
        # target modules add /store/100%/kdk.ko
        # target modules load --file /store/100%/kdk.ko .text BASE+0x0 .rodata BASE+0xeb10
        gdb-remote 127.0.0.1:43211
        breakpoint set --hardware --one-shot true --name hammer_time
        continue
        "#);
    }
}
