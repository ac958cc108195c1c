using LowRankQuant.Models.Tokenizers.Patterns;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>
/// The patterns behind a name in <c>tokenizer.ggml.pre</c>. The patterns of a list are applied one after the other; matches and what
/// lies between them are the pieces for the next.
/// </summary>
internal sealed record GgufPreTokenizer
{
    // One of every kind.
    private static readonly string[] Names =
        ["gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "deepseek-coder", "falcon", "gpt-4o", "tekken", "bloom", "seed-coder", "deepseek-v3", Default];

    private const string OtherWords = "words whose letters have marks of their own (Hindi, Thai, Arabic with vowels) are cut otherwise";
    private const string Front = @"[^\r\n\p{L}\p{N}]?";
    private const string Behind = @"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + KnownPatterns.Spaces;

    // Words of letters in one case behind letters in the other. llama.cpp knows cases within ASCII only, and takes marks for no letters.
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    private const string UpperSpelled = @"((?=[\p{L}])([^a-z]))", LowerSpelled = @"((?=[\p{L}])([^A-Z]))";

    /// <summary>The name of what llama.cpp does where a file names nothing.</summary>
    internal const string Default = "default";

    /// <summary>The expressions, as a tokenizer.json has them.</summary>
    internal required string[] Patterns { get; init; }

    /// <summary>The same as tokenizers have it that llama.cpp's names are given to: other spellings, or what it approximates.</summary>
    internal string[][] Originals { get; private init; } = [];

    /// <summary>Where the expressions cut otherwise than those of the original tokenizers; null where they do not.</summary>
    internal string? Approximates { get; private init; }

    internal bool IgnoresMerges { get; private init; }

    internal bool AddsBos { get; private init; }

    internal PreTokenizer Stages => new SequencePreTokenizer(
        [.. Patterns.Select(pattern => new SplitPreTokenizer(KnownPatterns.Matcher(pattern), SplitBehavior.Isolated, invert: false))]);

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
            case "gpt-4o" or "llama4" or "minimax-m2" or "kanana2":
                return Of(Words(UpperSpelled, LowerSpelled, KnownPatterns.CasedSpelled + "?") + @"|\p{N}{1,3}" + Behind) with
                {
                    Originals = [[Words(Upper, Lower, KnownPatterns.Cased + "?") + @"|\p{N}{1,3}" + Behind]],
                    Approximates = OtherWords,
                };
            case "tekken":
                return Of(Words(UpperSpelled, LowerSpelled, "") + @"|\p{N}" + Behind) with
                {
                    Originals = [[Words(Upper, Lower, "") + @"|\p{N}" + Behind]],
                    Approximates = OtherWords,
                    IgnoresMerges = true,
                    AddsBos = true,
                };
            case "bloom" or "poro-chat" or "gpt3-finnish":
                return Of(@" ?[^(\s|.,!?…。，、।۔،)]+");
            case "seed-coder":
                return Of(KnownPatterns.CasedSpelled + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+" + KnownPatterns.Spaces) with
                {
                    Originals = [[KnownPatterns.Cased + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+" + KnownPatterns.Spaces]],
                };
            case "deepseek-v3" or "hunyuan-dense" or "joyai-llm":
                return Of(
                    @"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                    @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+");
            case null or "" or Default:
                return Of(@"[\p{P}\$\+<=>\^~\|]+", KnownPatterns.Gpt2, @"\p{N}+", "[0-9][0-9][0-9]");
            default:
                throw TokenizerException.For("tokenizer.ggml.pre", name, "this library does not know the pre-tokenizer",
                    "Use the tokenizer.json of the original model.");
        }
    }

    /// <summary>A name that stands for these expressions; null when there is none.</summary>
    /// <param name="patterns">In the order of their stages, as a tokenizer.json has them.</param>
    /// <param name="ignoresMerges">Whether pieces that are tokens stay whole.</param>
    internal static string? NameOf(IReadOnlyList<string?> patterns, bool ignoresMerges)
    {
        if (patterns.Contains(null)) return null;
        string[] wanted = [.. patterns.Select(pattern => Canonical(pattern!))];
        return Names.FirstOrDefault(name => Find(name) is var pre && pre.IgnoresMerges == ignoresMerges
            && pre.Originals.Append(pre.Patterns).Any(known => known.Select(Canonical).SequenceEqual(wanted)));
    }

    // One spelling of each character, whether there is a scanner or not.
    private static string Canonical(string pattern)
    {
        try
        {
            return OnigurumaExpression.Read(pattern).Text;
        }
        catch (FormatException)
        {
            return pattern;
        }
    }

    private static string Words(string upper, string lower, string end) => $"{Front}{upper}*{lower}+{end}|{Front}{upper}+{lower}*{end}";

    private static GgufPreTokenizer Of(params string[] patterns) => new() { Patterns = patterns };
}
