using System.Globalization;
using System.Text.Json;

namespace LowRankQuant.Models.Tokenizers;

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
    public static ITokenizer Load(string vocabPath, string mergesPath)
    {
        ArgumentNullException.ThrowIfNull(vocabPath);
        ArgumentNullException.ThrowIfNull(mergesPath);
        TokenizerConfig config = TokenizerConfig.LoadBeside(vocabPath);
        using FileStream vocab = File.OpenRead(vocabPath);
        using FileStream merges = File.OpenRead(mergesPath);
        if (merges.Length > LargestMerges)
        {
            throw TokenizerException.For(Path.GetFileName(mergesPath), merges.Length.ToString(CultureInfo.InvariantCulture),
                $"a list of merges may have at most {LargestMerges} bytes", "This is not a merges.txt.");
        }
        using StreamReader lines = new(merges);
        return Read(vocab, lines, config);
    }

    internal static PipelineTokenizer Read(Stream vocab, TextReader merges, TokenizerConfig config)
    {
        using JsonDocument document = JsonField.Parse(vocab, "vocab.json");
        Vocabulary vocabulary = TokenizerJsonReader.ReadVocabulary(JsonField.Root(document, "vocab.json"));
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
        AddedTokens added = new(ReadAdded(vocabulary, config), normalizer: null);
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

    private static List<AddedToken> ReadAdded(Vocabulary vocabulary, TokenizerConfig config)
    {
        List<AddedToken> tokens = [];
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (AddedToken token in config.AddedTokens)
        {
            if ((vocabulary.Text(token.Id) ?? token.Content) != token.Content || (vocabulary.Find(token.Content) ?? token.Id) != token.Id)
            {
                throw TokenizerException.For($"tokenizer_config.json: added_tokens_decoder[{token.Id}]", token.Content,
                    "the token or its id is another one in vocab.json", "The files belong to different tokenizers; fetch them again.");
            }
            if (seen.Add(token.Content)) tokens.Add(token);
        }
        if (!seen.Contains(EndOfText) && vocabulary.Find(EndOfText) is { } id) tokens.Add(new AddedToken(id, EndOfText) { Special = true });
        return tokens;
    }
}
