namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// The patterns behind a name in <c>tokenizer.ggml.pre</c>. The patterns of a list are applied one after the other; matches and what
/// lies between them are the pieces for the next.
/// </summary>
internal sealed record GgufPreTokenizer
{
    // One of every kind.
    private static readonly string[] Names = ["gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "deepseek-coder", "falcon", Default];

    /// <summary>The name of what llama.cpp does where a file names nothing.</summary>
    internal const string Default = "default";

    /// <summary>The expressions, as a tokenizer.json has them.</summary>
    internal required string[] Patterns { get; init; }

    internal bool IgnoresMerges { get; private init; }

    internal bool AddsBos { get; private init; }

    internal PreTokenizer Stages => new SequencePreTokenizer(
        [.. Patterns.Select(pattern => new SplitPreTokenizer(KnownPatterns.Find(pattern)!, SplitBehavior.Isolated, invert: false))]);

    internal static GgufPreTokenizer Find(string? name)
    {
        switch (name)
        {
            case "gpt-2" or "phi-2" or "mpt" or "olmo" or "jais" or "trillion" or "jina-es" or "jina-de" or "mellum" or "roberta-bpe":
                return Of(KnownPatterns.Gpt2);
            case "smollm" or "starcoder" or "refact" or "command-r" or "codeshell" or "exaone" or "minerva-7b":
                return Of(@"\p{N}", KnownPatterns.Gpt2);
            case "llama-bpe" or "llama3" or "llama-v3" or "falcon3" or "falcon-h1" or "pixtral" or "lfm2":
                return Of(KnownPatterns.Llama3) with { IgnoresMerges = true, AddsBos = true };
            case "dbrx" or "smaug-bpe" or "chatglm-bpe" or "glm4":
                return Of(KnownPatterns.Llama3);
            case "qwen2" or "deepseek-r1-qwen" or "stablelm2" or "hunyuan" or "grok-2" or "megrez":
                return Of(KnownPatterns.Qwen2);
            case "deepseek-coder":
                return Of("[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", @"\p{N}");
            case "falcon":
                return Of(@"[\p{P}\$\+<=>\^~\|`]+", KnownPatterns.Gpt2, "[0-9][0-9][0-9]");
            case null or "" or Default:
                return Of(@"[\p{P}\$\+<=>\^~\|]+", KnownPatterns.Gpt2, @"\p{N}+", "[0-9][0-9][0-9]");
            default:
                throw TokenizerException.For("tokenizer.ggml.pre", name, "this library does not know the pre-tokenizer",
                    "Use the tokenizer.json of the original model.");
        }
    }

    /// <summary>A name that stands for exactly these expressions; null when there is none.</summary>
    internal static string? NameOf(IReadOnlyList<string?> patterns, bool ignoresMerges) =>
        Names.FirstOrDefault(name => Find(name) is var pre && pre.IgnoresMerges == ignoresMerges && pre.Patterns.SequenceEqual(patterns));

    private static GgufPreTokenizer Of(params string[] patterns) => new() { Patterns = patterns };
}
