// The package's own types describe the whole API; only the swap is used here.
declare module "htmx.org" {
  interface SwapContext {
    text: string;
    target: Element;
    swap: string;
    select?: string;
    sourceElement?: Element;
  }
  const htmx: { swap(ctx: SwapContext): Promise<void> };
  export default htmx;
}
