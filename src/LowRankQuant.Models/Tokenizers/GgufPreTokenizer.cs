namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// The patterns behind a name in <c>tokenizer.ggml.pre</c>. The patterns of a list are applied one after the other; matches and what
/// lies between them are the pieces for the next.
/// </summary>
internal sealed record GgufPreTokenizer(PatternMatcher[] Matchers)
{
    internal bool IgnoresMerges { get; private init; }

    internal bool AddsBos { get; private init; }

    internal PreTokenizer Stages => new SequencePreTokenizer(
        [.. Matchers.Select(matcher => new SplitPreTokenizer(matcher, SplitBehavior.Isolated, invert: false))]);

    internal static GgufPreTokenizer Find(string? name)
    {
        switch (name)
        {
            case "gpt-2" or "phi-2" or "mpt" or "olmo" or "jais" or "trillion" or "jina-es" or "jina-de" or "mellum" or "roberta-bpe":
                return new GgufPreTokenizer([new Gpt2Matcher()]);
            case "smollm" or "starcoder" or "refact" or "command-r" or "codeshell" or "exaone" or "minerva-7b":
                return new GgufPreTokenizer([new RunMatcher(CharKind.Number, longest: 1), new Gpt2Matcher()]);
            case "llama-bpe" or "llama3" or "llama-v3" or "falcon3" or "falcon-h1" or "pixtral" or "lfm2":
                return new GgufPreTokenizer([new Llama3Matcher(3, longS: false)]) { IgnoresMerges = true, AddsBos = true };
            case "dbrx" or "smaug-bpe" or "chatglm-bpe" or "glm4":
                return new GgufPreTokenizer([new Llama3Matcher(3, longS: false)]);
            case "qwen2" or "deepseek-r1-qwen" or "stablelm2" or "hunyuan" or "grok-2" or "megrez":
                return new GgufPreTokenizer([new Llama3Matcher(1, longS: false)]);
            case "deepseek-coder":
                return new GgufPreTokenizer(
                [
                    Known("[\r\n]"), Known(@"\s?\p{L}+"), Known(@"\s?\p{P}+"), Known("[一-龥ࠀ-一가-퟿]+"), Known(@"\p{N}"),
                ]);
            case "falcon":
                return new GgufPreTokenizer([Known(@"[\p{P}\$\+<=>\^~\|`]+"), new Gpt2Matcher(), Known("[0-9][0-9][0-9]")]);
            case null or "" or "default":
                return new GgufPreTokenizer(
                [
                    Known(@"[\p{P}\$\+<=>\^~\|]+"), new Gpt2Matcher(), Known(@"\p{N}+"), Known("[0-9][0-9][0-9]"),
                ]);
            default:
                throw TokenizerException.For("tokenizer.ggml.pre", name, "this library does not know the pre-tokenizer",
                    "Use the tokenizer.json of the original model.");
        }
    }

    private static PatternMatcher Known(string pattern) => KnownPatterns.Find(pattern)!;
}
