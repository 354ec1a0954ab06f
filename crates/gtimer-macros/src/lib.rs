//! The attribute `#[timed]` of gtimer-core, which times a function as a subdivision.
//!
//! Use it through `gtimer_core::timed` (feature `macros`); an example that runs stands there.
//!
//! # What this crate leaves to others
//!
//! It writes one statement at the beginning of a function; what that does is gtimer-core's.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, ItemFn, LitBool, LitStr, Path, Signature, Token, bracketed};

/// Times every call of a function as a subdivision of this thread's timer.
///
/// The subdivision begins when the function is entered and ends when it is left, whether by
/// `return`, by `?`, or by a panic that unwinds. Functions with generics, methods, trait methods
/// with a body and unsafe functions may be timed; their signatures stay as they are.
///
/// | option                        | meaning                                                     | default |
/// | ----------------------------- | ----------------------------------------------------------- | ------- |
/// | `name = "…"`                  | the name of the subdivision                                 | the function's |
/// | `rgstr_stamps = ["…", …]`     | stamps that are listed with zero where they were not met    | none    |
/// | `save_itrs = true` or `false` | whether repeated runs keep their single times               | the thread's setting |
/// | `subdivide = false`           | do not time it at all, as gtimer's `wrap` has it            | `true`  |
/// | `crate = path`                | where gtimer-core is, for a crate that has it under another name | `::gtimer_core` |
///
/// ```
/// use gtimer_core::{stamp, thread, timed};
///
/// #[timed]
/// fn load(lines: &str) -> Result<Vec<u32>, std::num::ParseIntError> {
///     // The `?` leaves the function, and so ends the subdivision.
///     let first = lines.lines().next().unwrap_or_default().parse()?;
///     let _ = stamp!("first");
///     Ok(vec![first])
/// }
///
/// struct Solver<T>(Vec<T>);
///
/// impl<T: Copy + Into<f64>> Solver<T> {
///     #[timed(name = "solve", rgstr_stamps = ["fallback"], save_itrs = false)]
///     fn sum(&self) -> f64 {
///         self.0.iter().map(|&x| x.into()).sum()
///     }
/// }
///
/// assert!(load("x").is_err());
/// assert_eq!(load("7"), Ok(vec![7]));
/// assert_eq!(Solver(vec![1_u32, 2]).sum(), 3.0);
/// stamp!("main")?;
///
/// let timers = &thread::times().subdivisions[0].timers;
/// assert_eq!((timers[0].name.as_str(), timers[1].name.as_str()), ("load", "solve"));
/// assert_eq!(timers[1].stamps[0].name, "fallback");
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
///
/// What is timed is the call. A function that returns an iterator, a closure or a future has
/// returned long before these do their work, so only their making is timed. `thread::timed_iter`
/// times an iterator itself, `thread::timed_for` the loop that drives it.
///
/// ```
/// use gtimer_core::{thread, timed};
///
/// #[timed]
/// fn gates(n: u32) -> impl Iterator<Item = u32> {
///     (0..n).map(|gate| gate * 2)
/// }
///
/// let mut gates = gates(3);
/// // Whatever is timed here is no part of `gates`.
/// assert_eq!(gates.next(), Some(0));
/// assert_eq!(thread::with(|timer| timer.depth())?, 0);
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
///
/// # What does not compile
///
/// An `async fn`: between two polls the thread does something else, and the next poll may come on
/// another thread.
///
/// ```compile_fail
/// #[gtimer_core::timed]
/// async fn fetch() {}
/// ```
///
/// A `const fn`, because there is no clock while compiling; a method without a body; whatever is no
/// function.
///
/// ```compile_fail
/// #[gtimer_core::timed]
/// const fn two() -> u32 { 2 }
/// ```
///
/// ```compile_fail
/// trait Solver {
///     #[gtimer_core::timed]
///     fn solve(&self);
/// }
/// ```
///
/// ```compile_fail
/// #[gtimer_core::timed]
/// struct Solver;
/// ```
///
/// An option that is not in the table, or is given twice, or with a value of another kind.
///
/// ```compile_fail
/// #[gtimer_core::timed(colour = "red")]
/// fn solve() {}
/// ```
///
/// ```compile_fail
/// #[gtimer_core::timed(name = "a", name = "b")]
/// fn solve() {}
/// ```
///
/// ```compile_fail
/// #[gtimer_core::timed(name = 7)]
/// fn solve() {}
/// ```
#[proc_macro_attribute]
pub fn timed(options: TokenStream, item: TokenStream) -> TokenStream {
    let expand = || {
        let options = syn::parse::<Options>(options)?;
        let mut function = syn::parse::<ItemFn>(item).map_err(|e| {
            Error::new(e.span(), format!("#[timed] is for functions with a body: {e}"))
        })?;
        refuse(&function.sig)?;
        if options.subdivide {
            let begin = begin(&options, &function.sig.ident);
            let begin = syn::parse2(begin)?;
            function.block.stmts.insert(0, begin);
        }
        Ok(quote!(#function))
    };
    expand().unwrap_or_else(|e: Error| e.into_compile_error()).into()
}

fn refuse(signature: &Signature) -> syn::Result<()> {
    if let Some(token) = &signature.asyncness {
        return Err(Error::new(
            token.span,
            "#[timed] cannot time an async function: it waits between polls, and each may come on \
             another thread; time the synchronous parts of it",
        ));
    }
    if let Some(token) = &signature.constness {
        return Err(Error::new(
            token.span,
            "#[timed] cannot time a const fn: it may run while compiling",
        ));
    }
    Ok(())
}

/// The statement that begins the subdivision; the guard ends it when it goes out of scope, after
/// every other local of the function.
fn begin(options: &Options, function: &Ident) -> proc_macro2::TokenStream {
    let default: Path = syn::parse_quote!(::gtimer_core);
    let krate = options.krate.as_ref().unwrap_or(&default);
    // `r#loop` is called `loop`.
    let own = function.to_string();
    let own = LitStr::new(own.strip_prefix("r#").unwrap_or(&own), function.span());
    let name = options.name.as_ref().unwrap_or(&own);
    let guard = Ident::new("__timed_call", proc_macro2::Span::mixed_site());
    if options.rgstr_stamps.is_empty() && options.save_itrs.is_none() {
        return quote!(let #guard = #krate::subdivision!(#name););
    }
    let registered = &options.rgstr_stamps;
    let save_itrs = match &options.save_itrs {
        None => quote!(::core::option::Option::None),
        Some(value) => quote!(::core::option::Option::Some(#value)),
    };
    quote! {
        let #guard = #krate::thread::subdivision_with(#krate::name!(#name), #krate::SubdivideOptions {
            registered: ::std::vec![#(#krate::name!(#registered)),*],
            save_itrs: #save_itrs,
        });
    }
}

/// What stands in the attribute's parentheses.
struct Options {
    name: Option<LitStr>,
    rgstr_stamps: Vec<LitStr>,
    save_itrs: Option<LitBool>,
    subdivide: bool,
    krate: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self {
            name: None,
            rgstr_stamps: Vec::new(),
            save_itrs: None,
            subdivide: true,
            krate: None,
        };
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            // `crate` is a keyword, which `Ident` refuses.
            let key = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
            let text = key.to_string();
            if seen.contains(&text) {
                return Err(Error::new(key.span(), format!("{text} is given twice")));
            }
            // Ahead of its value, so that a word alone is called by its name.
            const KNOWN: [&str; 5] = ["name", "rgstr_stamps", "save_itrs", "subdivide", "crate"];
            if !KNOWN.contains(&text.as_str()) {
                let known = KNOWN.join(", ");
                let message = format!("#[timed] has no option {text}; there are: {known}");
                return Err(Error::new(key.span(), message));
            }
            input.parse::<Token![=]>()?;
            match text.as_str() {
                "name" => options.name = Some(input.parse()?),
                "rgstr_stamps" => {
                    let list;
                    bracketed!(list in input);
                    let stamps = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
                    options.rgstr_stamps = stamps.into_iter().collect();
                }
                "save_itrs" => options.save_itrs = Some(input.parse()?),
                "subdivide" => options.subdivide = input.parse::<LitBool>()?.value,
                _ => options.krate = Some(input.call(Path::parse_mod_style)?),
            }
            seen.push(text);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}
