using System.Text.Json;
using LowRankQuant.Models;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Tests.Cli;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>Learning from the assistant's part of conversations alone: which tokens it is, and that losses, gradients and statistics see no others.</summary>
public sealed class AssistantMaskTests : IDisposable
{
    private const string ChatMl = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheAssistantsPartIsMarkedTokenByToken()
    {
        string path = Write("a.jsonl", """{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},{"role":"user","content":"More"},{"role":"assistant","content":"Yes"}]}""");
        const string text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nMore<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n";
        CalibrationSet set = Load(path, ChatMl, text.Length);
        Assert.Equal(text, string.Concat(set.Windows[0].Select(id => (char)id)));
        Assert.Equal("Hello<|im_end|>\nYes<|im_end|>\n", string.Concat(set.Windows[0].Where((_, i) => set.Masks![0][i]).Select(id => (char)id)));
        // The mask is part of what a run is.
        CalibrationSet all = Load(path, ChatMl, text.Length, assistantOnly: false);
        Assert.Null(all.Masks);
        Assert.Equal(all.Windows[0], set.Windows[0]);
        Assert.NotEqual(all.Fingerprint, set.Fingerprint);
    }

    [Fact]
    public void CallsOfToolsAreTheAssistantsAndAnswersOfToolsAreNot()
    {
        string path = Write("a.jsonl", """{"messages":[{"role":"user","content":"1+1"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]},{"role":"tool","content":"2"},{"role":"assistant","content":"Two."}]}""");
        const string template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %};{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        const string text = "<user>1+1;<assistant>add {\"a\": 1};<tool>2;<assistant>Two.;";
        CalibrationSet set = Load(path, template, text.Length);
        Assert.Equal(text, string.Concat(set.Windows[0].Select(id => (char)id)));
        Assert.Equal("add {\"a\": 1};Two.;", string.Concat(set.Windows[0].Where((_, i) => set.Masks![0][i]).Select(id => (char)id)));
    }

    [Fact]
    public void TextThatIsNoConversationIsRefused()
    {
        Assert.Contains("`assistant_only` needs conversations", Assert.Throws<CalibrationException>(() => Load(Write("a.txt", "plain text"), ChatMl, 4)).Message, StringComparison.Ordinal);
        Assert.Contains("holds token ids", Assert.Throws<CalibrationException>(() => Load(Write("a.ids", "[1,2,3,4]"), ChatMl, 4)).Message, StringComparison.Ordinal);
        Assert.Contains("no window holds a token", Assert.Throws<CalibrationException>(
            () => Load(Write("b.jsonl", """{"messages":[{"role":"user","content":"Hi"}]}"""), ChatMl, 4)).Message, StringComparison.Ordinal);
        // A template that writes the last message otherwise.
        Assert.Contains("where the assistant speaks cannot be told", Assert.Throws<TextSourceException>(() => Load(
            Write("c.jsonl", """{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}"""),
            "{% for m in messages %}{{ m['content'] }}{% if loop.last %}!{% endif %}{% endfor %}", 4)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ArgumentsAndToolsReachTheTemplate()
    {
        const string template = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m['content'] }}{% endfor %}{% if enable_thinking is defined and not enable_thinking %}<no>{% endif %}";
        string row = JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = "Hi" } }, tools = new[] { new { name = "f" } } });
        string text = JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = "Hi" } }, tools = """[{"name":"f"}]""" });
        string path = Write("a.jsonl", row + "\n" + text);
        TextSource source = new(path, new TextSourceOptions(), () => Chat(template, TemplateArguments.Parse("""{"enable_thinking": false}""")));
        string[] texts = [.. source.Documents([]).Select(document => ((StringDocument)document).Text)];
        Assert.Equal(["[{\"name\": \"f\"}]Hi<no>", "[{\"name\": \"f\"}]Hi<no>"], texts);
        Assert.Equal(2, source.Conversations);
        TextSource unknown = new(path, new TextSourceOptions(), () => Chat(template, TemplateArguments.Parse("""{"thinking": false}""")));
        Assert.Contains("there is no variable 'thinking'", Assert.Throws<TextSourceException>(() => unknown.Documents([]).ToList()).Message, StringComparison.Ordinal);
        foreach (string bad in new[] { "[1]", "{", "{\"messages\": []}", "{\"a b\": 1}" }) Assert.Throws<ChatTemplateException>(() => TemplateArguments.Parse(bad));
    }

    [Fact]
    public void StatisticsAreThoseOfTheTokensThatCount()
    {
        using var device = new CpuDevice();
        using CausalModel model = ModelSource.Open(TestData.Demo, device);
        int[][] windows = [[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]];
        bool[][] masks = [[false, true, true, false, false, true], [false, false, false, false, true, true]];
        using ActivationStream stream = ActivationStream.Embed(model, windows, new StreamOptions(new MemoryBudget(1 << 28), _folder.Path));
        using IDecoderBlock block = model.LoadBlock(0);
        var seen = new List<(int Window, float[] Rows, int Columns)>();
        LinearSlot first = block.Slots[0];
        int window = 0;
        first.InputObserver = x => seen.Add((window, x.ToArray(), x.Columns));
        stream.Look(block, 0, 2, (w, _) => window = w + 1, TestContext.Current.CancellationToken, batch: 1);
        first.InputObserver = null;
        int n = first.InFeatures;
        var expected = new double[n * n];
        int tokens = 0;
        foreach ((int w, float[] rows, _) in seen)
        {
            for (int t = 0; t < masks[w].Length; t++)
            {
                if (!masks[w][t]) continue;
                tokens++;
                for (int i = 0; i < n; i++)
                    for (int j = 0; j < n; j++) expected[(i * n) + j] += (double)rows[(t * n) + i] * rows[(t * n) + j];
            }
        }
        var statistics = new StageStatistics(block, device, 1 << 28, TestContext.Current.CancellationToken) { Masks = masks };
        foreach (var found in new[]
        {
            statistics.Pair(0, stream, stream, new WindowRange(0, 2), .., cross: true, () => { }, () => { })[0].Statistics,
            statistics.From(0, stream, new WindowRange(0, 2))[0],
        })
        {
            Assert.Equal(5, tokens);
            Assert.Equal(tokens, found.Tokens);
            double[] covariance = found.Covariance;
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i] / tokens, covariance[i], 1e-4 * (1 + Math.Abs(expected[i] / tokens)));
        }
        // The product with the same inputs in full precision is the covariance again.
        StageInputs pair = statistics.Pair(0, stream, stream, new WindowRange(0, 2), .., cross: true, () => { }, () => { })[0];
        for (int i = 0; i < expected.Length; i++) Assert.Equal(pair.Statistics.Covariance[i], pair.Cross![i], 1e-4 * (1 + Math.Abs(pair.Cross[i])));
    }

    [Theory]
    [InlineData(LossWeighting.Plain)]
    [InlineData(LossWeighting.Relative)]
    public void TokensThatDoNotCountHaveNoWeightInTheLoss(LossWeighting loss)
    {
        using var device = new CpuDevice();
        using Tensor target = device.From([3f, 4f, 1f, 1f, 0f, 2f, 2f, 2f], 4, 2), weights = device.Empty(4);
        TokenWeights.Fill(weights, target, loss, [[true, false], [false, true]], [0, 1]);
        float[] expected = loss == LossWeighting.Plain ? [1, 0, 0, 1] : [1 / 12.5f, 0, 0, 1 / 4f];
        Assert.Equal(expected, weights.ToArray());
        // In the order in which windows were drawn.
        TokenWeights.Fill(weights, target, LossWeighting.Plain, [[true, false], [false, true]], [1, 0]);
        Assert.Equal([0, 1, 1, 0], weights.ToArray());
        Assert.False(TokenWeights.AreNeeded(LossWeighting.Plain, null));
    }

    [Fact]
    public async Task WhatCannotLeaveTokensOutIsRefusedByName()
    {
        string path = Write("a.jsonl", """{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}""");
        foreach ((string[] args, string rule) in new (string[], string)[]
        {
            (["--method", "rtn"], "--assistant-only: method rtn learns nothing from text; methods that can leave some out are "),
            (["--method", "rtn", "--activations", "8:tensor"], "--assistant-only: static ranges of activations or caches have to hold all tokens"),
            (["--method", "lrq", "--cache", "8:head"], "--assistant-only: static ranges of activations or caches have to hold all tokens"),
        })
        {
            var cli = new CliHarness();
            Assert.Equal(2, await cli.Run(["quantize", "demo", .. args, "--calibration", path, "--assistant-only", "--out", _folder.File("o")]));
            Assert.Contains(rule, cli.Error, StringComparison.Ordinal);
        }
        var self = new CliHarness();
        Assert.Equal(2, await self.Run("quantize", "demo", "--method", "gptq", "--calibration", "self", "--assistant-only", "--chat-template-kwargs", "{\"enable_thinking\": false}", "--out", _folder.File("o")));
        Assert.Contains("--assistant-only needs conversations", self.Error, StringComparison.Ordinal);
        Assert.Contains("--chat-template-kwargs needs conversations", self.Error, StringComparison.Ordinal);
        var taken = new CliHarness();
        Assert.True(await taken.Run(
            "quantize", "demo", "--method", "gptq", "--calibration", path, "--assistant-only", "--chat-template-kwargs", "{\"enable_thinking\": false}", "--samples", "1", "--held-out", "0", "--sequence-length", "8",
            "--out", _folder.File("o")) == 0, taken.Error);
        Assert.True(taken.Quantized!.Calibration!.AssistantOnly);
        Assert.Equal(["enable_thinking"], taken.Quantized.Calibration.ChatArguments!.Names);
        Assert.Equal(("true", "{\"enable_thinking\": false}"), (taken.Quantized.Texts.Values["assistant_only"], taken.Quantized.Texts.Values["chat_template_kwargs"]));
    }

    [Fact]
    public void AMethodOfSomebodyElseThatSeesAllTokensIsRefusedByName()
    {
        using var device = new CpuDevice();
        using CausalModel model = ModelSource.Open(TestData.Demo, device);
        var catalog = new MethodCatalog([.. BuiltInMethods.Catalog.Methods, new SeesAll()], BuiltInMethods.Catalog.Transforms);
        var request = new RecipeRequest { Method = "sees-all", HasCalibration = true, AssistantOnly = true };
        Assert.Contains("`assistant_only`: method sees-all learns from all tokens of a text; methods that can leave some out are lrq", Assert.Throws<RecipeException>(
            () => RecipeResolver.Resolve(catalog, request, model.Config, model.Layout, ScaleType.Float16)).Message, StringComparison.Ordinal);
        RecipeResolver.Resolve(catalog, request with { AssistantOnly = false }, model.Config, model.Layout, ScaleType.Float16);
    }

    [Theory]
    [InlineData("gptq", "gptq fits experts (")]
    [InlineData("awq", "awq fits experts (")]
    [InlineData("flrq+", "flrq+ fits experts (")]
    [InlineData("lrq", "the transform smoothquant fits experts (")]
    public void ExpertsAreRefusedWhereTheirTokensAreNotToldApart(string method, string rule)
    {
        using var device = new CpuDevice();
        using CausalModel model = ModelSource.Open(TestData.Path("golden", "models", "mixtral"), device);
        var request = new RecipeRequest
        {
            Method = method,
            HasCalibration = true,
            AssistantOnly = true,
            Transforms = method == "lrq" ? [new TransformStage("smoothquant", new Dictionary<string, string>())] : null,
        };
        Assert.Contains(rule, Assert.Throws<RecipeException>(() => RecipeResolver.Resolve(BuiltInMethods.Catalog, request, model.Config, model.Layout, ScaleType.Float16)).Message, StringComparison.Ordinal);
    }

    private sealed class SeesAll : QuantizationMethod
    {
        private readonly QuantizationMethod _other = BuiltInMethods.Catalog.Methods.Single(method => method.Name == "gptq");

        public override string Name => "sees-all";

        public override string Summary => "looks at every token";

        public override IReadOnlyList<RecipeOption> Options => [];

        public override MethodSettings Resolve(MethodRequest request) => new Settings(_other.Resolve(request with { Values = new OptionValues(new Dictionary<string, string>(), [], request.Problems) }));

        private sealed record Settings(MethodSettings Other) : MethodSettings
        {
            public override string Method => "sees-all";

            public override IReadOnlyList<KeyValuePair<string, string>> Values => [];

            public override IReadOnlyList<TimedPart> TimedParts => Other.TimedParts;

            public override IBlockMethod Create() => Other.Create();

            public override string Describe() => Other.Describe();
        }
    }

    private CalibrationSet Load(string path, string template, int length, bool assistantOnly = true)
    {
        using var device = new CpuDevice();
        using CausalModel demo = ModelSource.Open(DemoWith(template), device);
        var options = new CalibrationOptions { Sources = [path], Samples = 1, SequenceLength = length, AssistantOnly = assistantOnly };
        return CalibrationLoader.Load(options, new CharacterTokenizer(), CalibrationLoaderTests.Config(), demo, cancellation: TestContext.Current.CancellationToken);
    }

    private ChatText? Chat(string template, TemplateArguments arguments)
    {
        using var device = new CpuDevice();
        using CausalModel model = ModelSource.Open(DemoWith(template), device);
        return ChatText.Of(model.Checkpoint, model.Checkpoint.LoadTokenizer(), model.Config, arguments);
    }

    private string DemoWith(string template)
    {
        string model = _folder.File("model");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.EnumerateFiles(TestData.Demo)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)), overwrite: true);
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), template);
        return model;
    }

    private string Write(string name, string content)
    {
        File.WriteAllText(_folder.File(name), content);
        return _folder.File(name);
    }
}
