//! The debuggers' command files. Pure.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kdk_kmod_link::layout::Placed;

/// Where QEMU's gdb stub listens.
pub enum Endpoint {
    /// A socket, which only its owner can open. gdb 8.3 and later can.
    Unix(PathBuf),
    /// A port of this host.
    Tcp(SocketAddr),
}

/// The module, as a debugger is told of it.
pub struct Module {
    /// The file with its symbols.
    pub path: PathBuf,
    /// Where its sections are, from its load address.
    pub sections: Vec<Placed>,
}

/// What a debugger has to know of a guest.
pub struct Session {
    /// The kernel with its symbols.
    pub kernel: PathBuf,
    /// The tree that its debug information calls `/usr/src`.
    pub tree: Option<PathBuf>,
    /// The first C function of the kernel.
    pub entry: &'static str,
    /// The module, if this guest has one.
    pub module: Option<Module>,
    /// Where to connect to.
    pub endpoint: Endpoint,
    /// Whether the guest stands still before its first instruction.
    pub wait: bool,
}

/// gdb's commands.
pub fn gdb(session: &Session) -> String {
    let mut text = String::from(
        "# Made by `cargo xtask debug` for one machine.\n\
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
        // Before that the processor is in modes that gdb does not know.
        let _ = writeln!(text, "thbreak {}\ncontinue", session.entry);
    } else if session.module.is_some() {
        text.push_str("kdk-module\n");
    }
    text
}

/// Breakpoints in the processor, not in the guest's memory: they hold before
/// the kernel is there, and change nothing that it may look at.
const KDK_BREAK: &str = "
define kdk-break
  hbreak $arg0
end
document kdk-break
Stop at FUNCTION, by a breakpoint of the processor.
end

";

/// The module's address is known to the kernel only, and may be another after
/// each load: its list of files is read when the user asks.
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
    echo kdk.ko is not loaded yet: say kdk-module again when it is\\n
  end
end
document kdk-module
Load the symbols of kdk.ko, where the kernel has it now.
end
"
    )
}

/// lldb's commands. It has no loops: the module's address is the user's to
/// ask for.
pub fn lldb(session: &Session) -> String {
    let mut text = String::from("# Made by `cargo xtask debug` for one machine.\n");
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
        # Made by `cargo xtask debug` for one machine.
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
            echo kdk.ko is not loaded yet: say kdk-module again when it is\n
          end
        end
        document kdk-module
        Load the symbols of kdk.ko, where the kernel has it now.
        end

        define kdk-break
          hbreak $arg0
        end
        document kdk-break
        Stop at FUNCTION, by a breakpoint of the processor.
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
        # Made by `cargo xtask debug` for one machine.
        # Most builds of gdb refuse FreeBSD's OS ABI.
        set osabi none
        set architecture i386:x86-64
        file /store/kernel.debug

        define kdk-break
          hbreak $arg0
        end
        document kdk-break
        Stop at FUNCTION, by a breakpoint of the processor.
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
        # Made by `cargo xtask debug` for one machine.
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
