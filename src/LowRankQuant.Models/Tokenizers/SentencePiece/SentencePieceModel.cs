using System.Globalization;
using LowRankQuant.Formats;

namespace LowRankQuant.Models.Tokenizers.SentencePiece;

/// <summary>Reads tokenizer.model, the protobuf file of SentencePiece (model types BPE and Unigram).</summary>
public static class SentencePieceModel
{
    private const int LargestFile = 256 << 20;
    private const string Remedy = "The file is damaged or no SentencePiece model; fetch it again.";
    private const int UnigramType = 1;
    private const int BpeType = 2;

    /// <summary>Loads a tokenizer.model, and the tokenizer_config.json beside it if there is one.</summary>
    /// <remarks>
    /// The begin token is added when the configuration says so, or when there is no such entry and the model has one (the convention of
    /// the Llama family). Spelled-out control tokens are recognised by <see cref="ITokenizer.Encode(string, bool)"/>.
    /// </remarks>
    /// <param name="path">Path of the tokenizer.model.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">The file is damaged or of a kind this library does not know.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ITokenizer Load(string path) => Load(path, rows: null);

    /// <summary>As <see cref="Load(string)"/>, for an embedding of so many rows.</summary>
    internal static ITokenizer Load(string path, int? rows)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (Directory.Exists(path)) throw TokenizerException.For(Path.GetFileName(path), path, "is a folder; a file belongs here", Remedy);
        if (FileKind.Foreign(path) is { } foreign) throw new TokenizerException($"{path} {foreign}");
        long length = FileLength.Of(path);
        if (length > LargestFile)
        {
            throw TokenizerException.For(Path.GetFileName(path), length.ToString(CultureInfo.InvariantCulture),
                $"a SentencePiece model may have at most {LargestFile} bytes", "This is not a tokenizer.model.");
        }
        return Read(File.ReadAllBytes(path), TokenizerConfig.LoadBeside(path) with { Rows = rows });
    }

    /// <summary>Reads the bytes of a tokenizer.model.</summary>
    /// <param name="model">The whole file.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">The bytes are damaged or of a kind this library does not know.</exception>
    public static ITokenizer Load(ReadOnlySpan<byte> model) => Read(model, new TokenizerConfig());

    private sealed class Contents
    {
        internal List<(string Text, float Score, TokenKind Kind)> Pieces { get; } = [];
        internal int ModelType { get; set; } = UnigramType;
        internal bool ByteFallback { get; set; }
        internal bool SpaceAsSuffix { get; set; }
        internal int UnknownId { get; set; }
        internal int BosId { get; set; } = 1;
        internal int EosId { get; set; } = 2;
        internal bool AddDummyPrefix { get; set; } = true;
        internal bool RemoveExtraSpaces { get; set; } = true;
        internal bool EscapeSpaces { get; set; } = true;
    }

    private static SpmTokenizer Read(ReadOnlySpan<byte> model, TokenizerConfig config)
    {
        Contents contents = new();
        ProtobufReader reader = new(model, "tokenizer.model");
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    contents.Pieces.Add(ReadPiece(reader.Bytes(), contents.Pieces.Count));
                    break;
                case 2:
                    ReadTrainer(reader.Bytes(), contents);
                    break;
                case 3:
                    ReadNormalizer(reader.Bytes(), contents);
                    break;
            }
        }
        return Build(contents, config);
    }

    private static (string Text, float Score, TokenKind Kind) ReadPiece(ReadOnlySpan<byte> message, int index)
    {
        string path = string.Create(CultureInfo.InvariantCulture, $"tokenizer.model: piece {index}");
        if (index >= Vocabulary.IdLimit) throw TokenizerException.For(path, null, $"more than {Vocabulary.IdLimit} pieces", "The file is damaged.");
        string text = "";
        float score = 0;
        int kind = (int)TokenKind.Normal;
        ProtobufReader reader = new(message, path);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    text = reader.Text();
                    break;
                case 2:
                    score = reader.Single();
                    break;
                case 3:
                    kind = reader.Int32();
                    break;
            }
        }
        if (text.Length == 0) throw TokenizerException.For(path, "", "a piece must have a text", Remedy);
        if (!float.IsFinite(score))
            throw TokenizerException.For(path, score.ToString(CultureInfo.InvariantCulture), "a score must be finite", Remedy);
        if (kind is < (int)TokenKind.Normal or > (int)TokenKind.Byte)
            throw TokenizerException.For(path, kind.ToString(CultureInfo.InvariantCulture), "a type must lie in 1..6", Remedy);
        return (text, score, (TokenKind)kind);
    }

    private static void ReadTrainer(ReadOnlySpan<byte> message, Contents contents)
    {
        ProtobufReader reader = new(message, "tokenizer.model: trainer_spec");
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 3:
                    contents.ModelType = reader.Int32();
                    break;
                case 24:
                    contents.SpaceAsSuffix = reader.Bool();
                    break;
                case 35:
                    contents.ByteFallback = reader.Bool();
                    break;
                case 40:
                    contents.UnknownId = reader.Int32();
                    break;
                case 41:
                    contents.BosId = reader.Int32();
                    break;
                case 42:
                    contents.EosId = reader.Int32();
                    break;
            }
        }
    }

    private static void ReadNormalizer(ReadOnlySpan<byte> message, Contents contents)
    {
        ProtobufReader reader = new(message, "tokenizer.model: normalizer_spec");
        string name = "";
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    name = reader.Text();
                    break;
                case 2 when reader.Bytes().Length > 0:
                    throw TokenizerException.For("tokenizer.model: normalizer_spec.precompiled_charsmap", name,
                        "this library does not apply character maps, only the identity", "Use the model's tokenizer.json.");
                case 3:
                    contents.AddDummyPrefix = reader.Bool();
                    break;
                case 4:
                    contents.RemoveExtraSpaces = reader.Bool();
                    break;
                case 5:
                    contents.EscapeSpaces = reader.Bool();
                    break;
            }
        }
    }

    private static SpmTokenizer Build(Contents contents, TokenizerConfig config)
    {
        int count = contents.Pieces.Count;
        if (count == 0) throw TokenizerException.For("tokenizer.model", null, "no pieces in it", Remedy);
        Vocabulary vocabulary = new(count);
        float[] scores = new float[count];
        TokenKind[] kinds = new TokenKind[count];
        bool[] joins = new bool[count];
        for (int id = 0; id < count; id++)
        {
            (string text, scores[id], kinds[id]) = contents.Pieces[id];
            joins[id] = kinds[id] is TokenKind.Normal or TokenKind.UserDefined or TokenKind.Unused;
            vocabulary.Add(text, id, "tokenizer.model: pieces");
        }
        int unknown = Array.IndexOf(kinds, TokenKind.Unknown);
        ITokenModel model = contents.ModelType switch
        {
            BpeType => new SpmModel(vocabulary, scores, kinds, joins, contents.ByteFallback, unknown),
            UnigramType => new UnigramModel(vocabulary, scores, UsableInUnigram(kinds), unknown, contents.ByteFallback),
            _ => throw TokenizerException.For("tokenizer.model: trainer_spec.model_type", contents.ModelType.ToString(CultureInfo.InvariantCulture),
                "this library knows 1 (Unigram) and 2 (BPE)", "Use the model's tokenizer.json."),
        };
        List<string> warnings = [];
        List<AddedToken> added = AddedTokenList.Merge([], vocabulary, config, warnings);
        int? bos = config.BosToken is { } begin ? Find(begin) : Existing(contents.BosId, count);
        int? eos = config.EosToken is { } end ? Find(end) : Existing(contents.EosId, count);
        return new SpmTokenizer(model, kinds, new SpmSettings
        {
            AddSpacePrefix = contents.AddDummyPrefix,
            RemoveExtraSpaces = contents.RemoveExtraSpaces,
            EscapeSpaces = contents.EscapeSpaces,
            SpaceAsSuffix = contents.SpaceAsSuffix,
            AddBos = (config.AddBos ?? true) && bos is not null,
            AddEos = (config.AddEos ?? false) && eos is not null,
            BosId = bos,
            EosId = eos,
            PrefixesEveryText = config.Legacy ?? true,
            Warnings = warnings,
            UserTokensInNormalizedText = true,
        }, added);

        int? Find(string token) => added.Find(candidate => candidate.Content == token)?.Id ?? vocabulary.Find(token);
    }

    private static bool[] UsableInUnigram(TokenKind[] kinds) => Array.ConvertAll(kinds, kind => kind is TokenKind.Normal or TokenKind.UserDefined);

    // -1 switches a token off.
    private static int? Existing(int id, int count) => id >= 0 && id < count ? id : null;
}
