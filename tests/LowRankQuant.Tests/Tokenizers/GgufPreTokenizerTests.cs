using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Tests.Models.Export;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Tokenizers of the families, with GPT-2's words: the name that an export gives them makes llama.cpp cut texts as they do, and as its file is read here.</summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class GgufPreTokenizerTests : IDisposable
{
    private const string Front = @"[^\r\n\p{L}\p{N}]?", Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", Cased = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string Behind = @"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    // As the tokenizer.json of gpt-oss, Mistral Nemo, BLOOM, Seed-OSS, DeepSeek V3, and relatives have them.
    private static readonly Dictionary<string, string[]> Patterns = new(StringComparer.Ordinal)
    {
        ["gpt-4o"] = [$@"{Front}{Upper}*{Lower}+{Cased}?|{Front}{Upper}+{Lower}*{Cased}?|\p{{N}}{{1,3}}{Behind}"],
        ["tekken"] = [$@"{Front}{Upper}*{Lower}+|{Front}{Upper}+{Lower}*|\p{{N}}{Behind}"],
        ["bloom"] = [" ?[^(\\s|[.,!?…。，、।۔،])]+"],
        ["seed-coder"] = [Cased + "|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"],
        ["deepseek-v3"] =
        [
            "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
        ],
        ["qwen2"] = [Cased + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["llama-bpe"] = [Cased + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["dbrx"] = [Cased + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    };

    // Capitals beyond ASCII, and marks that are characters of their own.
    private static readonly Dictionary<string, string> Words = new(StringComparer.Ordinal)
    {
        ["french-word"] = "\u00C9COLE\u00E9cole \u00C0 l'\u00E9t\u00E9",
        ["russian-word"] = "\u041F\u0420\u0418\u0432\u0435\u0442 \u043C\u0418\u0440",
        ["hindi-word"] = "\u0939\u093F\u0928\u094D\u0926\u0940",
        ["thai-word"] = "\u0E01\u0E33\u0E25\u0E31\u0E07",
        ["accent-word"] = "cafe\u0301s",
        ["code-word"] = "HTTPServer camelCase42/x // don'T\r\n\r\n  y",
    };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("gpt-4o", true)]
    [InlineData("tekken", true)]
    [InlineData("bloom", false)]
    [InlineData("seed-coder", false)]
    [InlineData("deepseek-v3", false)]
    [InlineData("qwen2", false)]
    [InlineData("llama-bpe", true)]
    [InlineData("dbrx", false)]
    public void TheEngineCutsTextsAsTheTokenizerDoes(string pre, bool ignoresMerges)
    {
        string folder = _folder.File("model");
        WriteTokenizer(folder, Patterns[pre], ignoresMerges);
        Assert.Equal("", Differences(folder, pre));
    }

    // Marks are no letters to llama.cpp where it approximates.
    [Theory]
    [InlineData("tokenizer-gptoss", "gpt-4o", "arabic-diacritics hindi tamil thai khmer-burmese mixed-scripts hindi-word thai-word")]
    [InlineData("tokenizer-mistral_nemo", "tekken", "arabic-diacritics hindi tamil thai khmer-burmese mixed-scripts hindi-word")]
    [InlineData("tokenizer-deepseek_v3", "deepseek-v3", "")]
    public void TheEngineCutsTextsAsARealTokenizerDoes(string package, string pre, string otherwise)
    {
        string folder = _folder.File("model");
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(TokenizerJsonGoldenTests.NpmFolder(package))) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        Assert.Equal(otherwise, Differences(folder, pre));
    }

    // Names of texts that the engine cuts otherwise than the tokenizer, and behind a slash otherwise than the file is read here.
    private string Differences(string folder, string pre)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        WriteModel(folder);
        string path = _folder.File("vocabulary.gguf");
        using ICheckpoint source = CheckpointOpener.Open(folder);
        ITokenizer tokenizer = source.LoadTokenizer();
        Assert.Equal(pre, GgufVocabularyExport.FromTokenizer(tokenizer).Pre);
        GgufExporter.Write(source, path, new GgufExportOptions { Linear = GgmlType.F16, Embedding = GgmlType.F16 }, cancellation: TestContext.Current.CancellationToken);
        using ICheckpoint file = CheckpointOpener.Open(path);
        ITokenizer back = file.LoadTokenizer();
        using LlamaModel model = engine.Open(path);
        using GoldenTokens golden = GoldenTokens.HuggingFace("gpt2");
        List<string> differ = [], differBack = [];
        foreach ((string name, string text) in golden.Strings.Where(pair => IsWellFormed(pair.Value)).Concat(Words).Some())
        {
            int[] ids = model.Tokenize(text, special: true);
            if (!ids.SequenceEqual(tokenizer.Encode(text, addSpecialTokens: true))) differ.Add(name);
            if (!ids.SequenceEqual(back.Encode(text, addSpecialTokens: true))) differBack.Add(name);
        }
        return string.Join(' ', differ) + (differBack.Count > 0 ? " / " + string.Join(' ', differBack) : "");
    }

    private static bool IsWellFormed(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i])) continue;
            if (i + 1 >= text.Length || !char.IsSurrogatePair(text[i], text[i + 1])) return false;
            i++;
        }
        return true;
    }

    private static void WriteTokenizer(string folder, string[] patterns, bool ignoresMerges)
    {
        Directory.CreateDirectory(folder);
        var stages = patterns.Select(pattern => (object)new { type = "Split", pattern = new { Regex = pattern }, behavior = "Isolated", invert = false })
            .Append(new { type = "ByteLevel", add_prefix_space = false, trim_offsets = true, use_regex = false });
        string words = TestData.Path("tokenizers", "gpt2");
        string[] merges = [.. File.ReadAllLines(Path.Combine(words, "merges.txt")).Where(line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal))];
        var vocabulary = JsonNode.Parse(File.ReadAllText(Path.Combine(words, "vocab.json")))!;
        int size = vocabulary.AsObject().Count;
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), JsonSerializer.Serialize(new
        {
            version = "1.0",
            added_tokens = new[] { new { id = size - 1, content = "<|endoftext|>", single_word = false, lstrip = false, rstrip = false, normalized = false, special = true } },
            pre_tokenizer = new { type = "Sequence", pretokenizers = stages },
            decoder = new { type = "ByteLevel", add_prefix_space = true, trim_offsets = true, use_regex = true },
            model = new { type = "BPE", ignore_merges = ignoresMerges, vocab = vocabulary, merges },
        }));
    }

    private static void WriteModel(string folder)
    {
        const int Width = 32;
        int size = TokenizerLoader.FromFolder(folder).VocabularySize;
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(new
        {
            architectures = new[] { "LlamaForCausalLM" },
            model_type = "llama",
            hidden_size = Width,
            intermediate_size = Width,
            num_hidden_layers = 1,
            num_attention_heads = 2,
            num_key_value_heads = 2,
            vocab_size = size,
            tie_word_embeddings = true,
            max_position_embeddings = 512,
            rms_norm_eps = 1e-5,
            rope_theta = 10000.0,
            hidden_act = "silu",
        }));
        string[] squares = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
        IEnumerable<(string Name, long[] Shape)> shapes = squares.Select(part => ($"model.layers.0.{part}.weight", new long[] { Width, Width }))
            .Concat(new[] { "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm", "model.norm" }.Select(part => ($"{part}.weight", new long[] { Width })))
            .Append(("model.embed_tokens.weight", [size, Width]));
        PendingTensor[] tensors = [.. shapes.Select(tensor => PendingTensor.FromSingles(tensor.Name, SafetensorsType.BF16, tensor.Shape, new float[tensor.Shape.Aggregate(1, (a, b) => (int)(a * b))]))];
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), PendingTensor.ReferenceOrder(tensors), cancellationToken: TestContext.Current.CancellationToken);
    }
}
