using System.Globalization;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>Builds tokenizers from GGUF vocabularies; ids are those of llama.cpp.</summary>
public static class GgufTokenizer
{
    // llama.cpp takes tokens of these names for control tokens, whatever type the file gives them.
    private static readonly string[] EndNames =
    [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>",
        "<|end_of_text|>", "<end_of_utterance>", "</s>",
    ];

    /// <summary>Builds the tokenizer of a GGUF vocabulary.</summary>
    /// <param name="vocabulary">The vocabulary; its lists are read, not kept.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">The vocabulary contradicts itself, or is of a kind this library does not know.</exception>
    public static ITokenizer Create(GgufVocabulary vocabulary)
    {
        ArgumentNullException.ThrowIfNull(vocabulary);
        return vocabulary.Model switch
        {
            "llama" => CreateSpm(vocabulary),
            "gpt2" => CreateBpe(vocabulary),
            _ => throw TokenizerException.For("tokenizer.ggml.model", vocabulary.Model, "this library knows \"llama\" and \"gpt2\"",
                "Use the tokenizer files of the original model."),
        };
    }

    private static SpmTokenizer CreateSpm(GgufVocabulary source)
    {
        (Vocabulary vocabulary, TokenKind[] kinds) = ReadTokens(source);
        if (source.Scores is null || source.Scores.Count != kinds.Length)
        {
            throw TokenizerException.For("tokenizer.ggml.scores", source.Scores is null ? null : Text(source.Scores.Count),
                $"a vocabulary of kind llama needs one score for each of its {kinds.Length} tokens", "Write the file again.");
        }
        float[] scores = [.. source.Scores];
        int bad = Array.FindIndex(scores, score => !float.IsFinite(score));
        if (bad >= 0)
            throw TokenizerException.For($"tokenizer.ggml.scores[{bad}]", Text(scores[bad]), "a score must be finite", "Write the file again.");
        bool[] joins = new bool[kinds.Length];
        Array.Fill(joins, true);
        int unknown = Checked(source.UnknownId, kinds.Length, "unknown_token_id") ?? Array.IndexOf(kinds, TokenKind.Unknown);
        // Unused tokens are ordinary ones to llama.cpp; only SentencePiece takes them apart again.
        TokenKind[] modelKinds = Array.ConvertAll(kinds, kind => kind == TokenKind.Unused ? TokenKind.Normal : kind);
        // llama.cpp's ids where the file names none and the token is added all the same.
        int? bos = Checked(source.BosId ?? Default(source.AddBos ?? true, 1, "<s>"), kinds.Length, "bos_token_id");
        int? eos = Checked(source.EosId ?? Default(source.AddEos ?? false, 2, "</s>"), kinds.Length, "eos_token_id");
        return new SpmTokenizer(new SpmModel(vocabulary, scores, modelKinds, joins, byteFallback: true, unknown), kinds, new SpmSettings
        {
            AddSpacePrefix = source.AddSpacePrefix ?? true,
            StripsAfterSpecial = source.ModelName is { } name
                && (name.Contains("phi-3", StringComparison.OrdinalIgnoreCase) || name.Contains("phi3", StringComparison.OrdinalIgnoreCase)),
            AddBos = (source.AddBos ?? true) && bos is not null,
            AddEos = (source.AddEos ?? false) && eos is not null,
            BosId = bos,
            EosId = eos,
        });

        int? Default(bool isAdded, int id, string text) => isAdded && vocabulary.Text(id) == text ? id : null;
    }

    private static GgufBpeTokenizer CreateBpe(GgufVocabulary source)
    {
        GgufPreTokenizer pre = GgufPreTokenizer.Find(source.Pre);
        (Vocabulary vocabulary, TokenKind[] kinds) = ReadTokens(source);
        if (source.Merges is null)
            throw TokenizerException.For("tokenizer.ggml.merges", null, "a vocabulary of kind gpt2 needs its merges", "Write the file again.");
        MergeTable table = new(source.Merges.Count);
        for (int rank = 0; rank < source.Merges.Count; rank++)
        {
            string merge = source.Merges[rank];
            // Tokens never begin with a space in byte-level letters, so the first space after the first letter parts them.
            int space = merge.Length > 1 ? merge.IndexOf(' ', 1) : -1;
            if (space < 0 || space == merge.Length - 1)
            {
                throw TokenizerException.For($"tokenizer.ggml.merges[{rank}]", merge,
                    "a merge must be two tokens with a space between them", "Write the file again.");
            }
            BpeModel.AddMerge(table, vocabulary, merge[..space], merge[(space + 1)..], rank, 0, replace: false);
        }
        BpeModel model = new(vocabulary, table, new BpeOptions { MapsBytes = true, IgnoreMerges = pre.IgnoresMerges });
        int? bos = Checked(source.BosId, kinds.Length, "bos_token_id");
        int? eos = Checked(source.EosId, kinds.Length, "eos_token_id");
        return new GgufBpeTokenizer(model, kinds, pre.Stages, new GgufBpeSettings(
            bos, eos, AddBos: (source.AddBos ?? pre.AddsBos) && bos is not null, AddEos: (source.AddEos ?? false) && eos is not null));
    }

    /// <summary>The texts and kinds of all tokens, as llama.cpp takes them.</summary>
    internal static (Vocabulary Vocabulary, TokenKind[] Kinds) ReadTokens(GgufVocabulary source)
    {
        int count = source.Tokens.Count;
        if (count is 0 or > Vocabulary.IdLimit)
        {
            throw TokenizerException.For("tokenizer.ggml.tokens", Text(count),
                $"there must be 1 to {Vocabulary.IdLimit} tokens", "Write the file again.");
        }
        if (source.TokenTypes is { } types && types.Count != count)
        {
            throw TokenizerException.For("tokenizer.ggml.token_type", Text(types.Count),
                $"there must be one type for each of the {count} tokens", "Write the file again.");
        }
        Vocabulary vocabulary = new(count);
        TokenKind[] kinds = new TokenKind[count];
        for (int id = 0; id < count; id++)
        {
            // llama.cpp names empty tokens, which some converters leave in gaps, in the same way.
            string text = source.Tokens[id] is { Length: > 0 } token ? token : string.Create(CultureInfo.InvariantCulture, $"[EMPTY_{id}]");
            vocabulary.Add(text, id, "tokenizer.ggml.tokens");
            int type = source.TokenTypes?[id] ?? (int)TokenKind.Normal;
            // 0 is "undefined" in some old files.
            if (type is < 0 or > (int)TokenKind.Byte)
                throw TokenizerException.For($"tokenizer.ggml.token_type[{id}]", Text(type), "a type must lie in 1..6", "Write the file again.");
            kinds[id] = type == 0 ? TokenKind.Normal : (TokenKind)type;
            if (Array.IndexOf(EndNames, text) >= 0) kinds[id] = TokenKind.Control;
        }
        return (vocabulary, kinds);
    }

    private static int? Checked(int? id, int count, string key)
    {
        if (id is null || (id >= 0 && id < count)) return id;
        throw TokenizerException.For($"tokenizer.ggml.{key}", Text(id.Value), $"must lie in 0..{count - 1}", "Write the file again.");
    }

    private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);
}
