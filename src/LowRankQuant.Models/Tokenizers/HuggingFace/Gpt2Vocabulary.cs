using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>Reads the two files of GPT-2's tokenizer, vocab.json and merges.txt (byte-level BPE, GPT-2 pattern).</summary>
public static class Gpt2Vocabulary
{
    private const string EndOfText = "<|endoftext|>";
    private const int LargestMerges = 64 << 20;

    /// <summary>Loads the two files, and the tokenizer_config.json beside the first if there is one.</summary>
    /// <param name="vocabPath">Path of vocab.json: an object from token (in byte-level letters) to id.</param>
    /// <param name="mergesPath">Path of merges.txt: an optional first line "#version ...", then two tokens a line.</param>
    /// <returns>The tokenizer. Its begin and end token is &lt;|endoftext|&gt; unless the configuration names others.</returns>
    /// <exception cref="TokenizerException">A file is damaged, or the two do not belong together.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ITokenizer Load(string vocabPath, string mergesPath) => Load(vocabPath, mergesPath, rows: null);

    /// <summary>As <see cref="Load(string, string)"/>, for an embedding of so many rows.</summary>
    internal static ITokenizer Load(string vocabPath, string mergesPath, int? rows)
    {
        ArgumentNullException.ThrowIfNull(vocabPath);
        ArgumentNullException.ThrowIfNull(mergesPath);
        TokenizerConfig config = TokenizerConfig.LoadBeside(vocabPath) with { Rows = rows };
        if (Directory.Exists(mergesPath))
            throw TokenizerException.For(Path.GetFileName(mergesPath), mergesPath, "is a folder; a file belongs here", "Fetch the file again.");
        if (FileKind.Foreign(mergesPath) is { } foreign) throw new TokenizerException($"{mergesPath} {foreign}");
        using FileStream merges = File.OpenRead(mergesPath);
        if (merges.Length > LargestMerges)
        {
            throw TokenizerException.For(Path.GetFileName(mergesPath), merges.Length.ToString(CultureInfo.InvariantCulture),
                $"a list of merges may have at most {LargestMerges} bytes", "This is not a merges.txt.");
        }
        using StreamReader lines = new(merges);
        using JsonDocument document = JsonField.ParseFile(vocabPath);
        return Read(JsonField.Root(document, Path.GetFileName(vocabPath)), lines, config);
    }

    internal static PipelineTokenizer Read(Stream vocab, TextReader merges, TokenizerConfig config)
    {
        using JsonDocument document = JsonField.Parse(vocab, "vocab.json");
        return Read(JsonField.Root(document, "vocab.json"), merges, config);
    }

    private static PipelineTokenizer Read(JsonField root, TextReader merges, TokenizerConfig config)
    {
        Vocabulary vocabulary = TokenizerJsonReader.ReadVocabulary(root);
        List<string> lines = ReadLines(merges);
        MergeTable table = new(lines.Count);
        for (int rank = 0; rank < lines.Count; rank++)
        {
            int space = lines[rank].IndexOf(' ', StringComparison.Ordinal);
            if (space <= 0 || space == lines[rank].Length - 1)
            {
                throw TokenizerException.For(string.Create(CultureInfo.InvariantCulture, $"merges.txt: merge {rank}"), lines[rank],
                    "a merge must be two tokens with a space between them", "Fetch the file again.");
            }
            BpeModel.AddMerge(table, vocabulary, lines[rank][..space], lines[rank][(space + 1)..], rank, 0, replace: true);
        }
        List<string> warnings = [];
        if (!config.SpecialTokens.Any(token => token.Content == EndOfText) && vocabulary.Find(EndOfText) is not null)
            config = config with { SpecialTokens = [.. config.SpecialTokens, new AddedToken(-1, EndOfText) { Special = true }] };
        AddedTokens added = new(AddedTokenList.Merge([], vocabulary, config, warnings), normalizer: null);
        int? Find(string token) => added.Find(token) ?? vocabulary.Find(token);
        int? bos = Find(config.BosToken ?? EndOfText);
        int? eos = Find(config.EosToken ?? EndOfText);
        return new PipelineTokenizer(new PipelineParts(new BpeModel(vocabulary, table, new BpeOptions { MapsBytes = true }), added)
        {
            PreTokenizer = new ByteLevelPreTokenizer(addPrefixSpace: false, usePattern: true, mapsBytes: false),
            Decoder = new ByteLevelDecoder(),
            Prefix = config.AddBos == true && bos is { } first ? [first] : [],
            Suffix = config.AddEos == true && eos is { } last ? [last] : [],
            BosId = bos,
            EosId = eos,
            Warnings = warnings,
        });
    }

    private static List<string> ReadLines(TextReader merges)
    {
        List<string> lines = [];
        bool first = true;
        while (merges.ReadLine() is { } line)
        {
            // Only a version in the first line is a comment: other lines that begin with '#' are merges.
            bool isVersion = first && line.StartsWith("#version", StringComparison.Ordinal);
            first = false;
            if (!isVersion && line.Length > 0) lines.Add(line);
        }
        return lines;
    }
}
