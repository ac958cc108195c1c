using System.Text;
using System.Text.Json;
using LowRankQuant.Models.Tokenizers.Patterns;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>Reads the normalizer, pre-tokenizer and decoder of a tokenizer.json.</summary>
internal static class ComponentReader
{
    internal static Normalizer? ReadNormalizer(JsonField node)
    {
        if (node.IsNull) return null;
        switch (node.Text("type"))
        {
            case "Sequence":
                return new SequenceNormalizer([.. node.Member("normalizers").Items().Select(part => ReadNormalizer(part)).OfType<Normalizer>()]);
            case "NFC": return new FormNormalizer(NormalizationForm.FormC);
            case "NFD": return new FormNormalizer(NormalizationForm.FormD);
            case "NFKC": return new FormNormalizer(NormalizationForm.FormKC);
            case "NFKD": return new FormNormalizer(NormalizationForm.FormKD);
            case "Lowercase": return new LowercaseNormalizer();
            case "Strip": return new StripNormalizer(node.Flag("strip_left", true), node.Flag("strip_right", true));
            case "StripAccents": return new StripAccentsNormalizer();
            case "Prepend": return new PrependNormalizer(node.Text("prepend"));
            case "Replace": return new ReplaceNormalizer(ReadLiteral(node.Member("pattern")), node.Text("content"));
            case "ByteLevel": return new ByteLevelNormalizer();
            default:
                throw node.Member("type").Unknown(
                    "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace and ByteLevel");
        }
    }

    /// <summary>Reads a pre-tokenizer. When its last stage maps to the byte alphabet, that mapping is left to the model, which caches.</summary>
    internal static PreTokenizer? ReadPreTokenizer(JsonField node, out bool modelMapsBytes) =>
        ReadPreTokenizer(node, isLast: true, out modelMapsBytes);

    private static PreTokenizer? ReadPreTokenizer(JsonField node, bool isLast, out bool modelMapsBytes)
    {
        modelMapsBytes = false;
        if (node.IsNull) return null;
        switch (node.Text("type"))
        {
            case "Sequence":
                JsonField[] parts = [.. node.Member("pretokenizers").Items()];
                List<PreTokenizer> stages = [];
                for (int i = 0; i < parts.Length; i++)
                {
                    if (ReadPreTokenizer(parts[i], isLast && i == parts.Length - 1, out modelMapsBytes) is { } stage) stages.Add(stage);
                }
                return new SequencePreTokenizer([.. stages]);
            case "ByteLevel":
                modelMapsBytes = isLast;
                return new ByteLevelPreTokenizer(node.Flag("add_prefix_space", true), node.Flag("use_regex", true), mapsBytes: !isLast);
            case "Split":
                return new SplitPreTokenizer(ReadPattern(node.Member("pattern")), ReadBehavior(node.Member("behavior")), node.Flag("invert", false))
                {
                    Pattern = node.Member("pattern").TextOrNull("Regex"),
                };
            case "Digits":
                return new SplitPreTokenizer(new RunMatcher(CharKind.Number, longest: node.Flag("individual_digits", false) ? 1 : int.MaxValue),
                    SplitBehavior.Isolated, invert: false);
            case "Punctuation":
                JsonField behavior = node.Member("behavior");
                return new SplitPreTokenizer(new RunMatcher(CharKind.Punctuation, longest: 1, extra: "$+<=>^`|~"),
                    behavior.IsNull ? SplitBehavior.Isolated : ReadBehavior(behavior), invert: false);
            case "Metaspace":
                return new MetaspacePreTokenizer(node.Letter("replacement"), ReadScheme(node), node.Flag("split", true));
            case "Whitespace":
                return new SplitPreTokenizer(new WordMatcher(), SplitBehavior.Removed, invert: true);
            case "WhitespaceSplit":
                return new SplitPreTokenizer(new RunMatcher(CharKind.Space), SplitBehavior.Removed, invert: false);
            default:
                throw node.Member("type").Unknown(
                    "Sequence, ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace and WhitespaceSplit");
        }
    }

    internal static TokenDecoder? ReadDecoder(JsonField node)
    {
        if (node.IsNull) return null;
        switch (node.Text("type"))
        {
            case "Sequence":
                return new SequenceDecoder([.. node.Member("decoders").Items().Select(part => ReadDecoder(part)).OfType<TokenDecoder>()]);
            case "ByteLevel": return new ByteLevelDecoder();
            case "ByteFallback": return new ByteFallbackDecoder();
            case "Fuse": return new FuseDecoder();
            case "Replace": return new ReplaceDecoder(ReadLiteral(node.Member("pattern")), node.Text("content"));
            case "Strip": return new StripDecoder(node.Letter("content"), node.Number("start", 0), node.Number("stop", 0));
            case "Metaspace": return new MetaspaceDecoder(node.Letter("replacement"), ReadScheme(node));
            default: throw node.Member("type").Unknown("Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip and Metaspace");
        }
    }

    private static string ReadLiteral(JsonField pattern)
    {
        pattern.Expect(JsonValueKind.Object);
        if (pattern.Member("Regex") is { IsNull: false } regex) throw regex.Unknown("fixed strings only in this place");
        return pattern.Text("String");
    }

    private static PatternMatcher ReadPattern(JsonField pattern)
    {
        pattern.Expect(JsonValueKind.Object);
        if (pattern.Member("Regex") is not { IsNull: false } regex) return new LiteralMatcher(pattern.Text("String"));
        try
        {
            return KnownPatterns.Matcher(regex.Text());
        }
        catch (FormatException error)
        {
            throw regex.Wrong($"this regular expression is not read here: {error.Message}", "Use a tokenizer of another kind, or report the model.");
        }
    }

    private static SplitBehavior ReadBehavior(JsonField behavior) => behavior.Text() switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        _ => throw behavior.Unknown("Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous"),
    };

    private static PrependScheme ReadScheme(JsonField node)
    {
        JsonField scheme = node.Member("prepend_scheme");
        // Files older than prepend_scheme have a switch; false there means never.
        if (scheme.IsNull) return node.Flag("add_prefix_space", true) ? PrependScheme.Always : PrependScheme.Never;
        return scheme.Text() switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            _ => throw scheme.Unknown("always, first and never"),
        };
    }
}
