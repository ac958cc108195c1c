using LowRankQuant.Hub;

namespace LowRankQuant.Tests.Hub;

public class HubNameTests
{
    [Theory]
    [InlineData("hf://org/name", "org/name", "main", null, false)]
    [InlineData("HF://org/name@v1.0", "org/name", "v1.0", null, false)]
    [InlineData("hf://org/name@refs/pr/1", "org/name", "refs/pr/1", null, false)]
    [InlineData("hf://org/name@refs/convert/parquet/a/b.parquet", "org/name", "refs/convert/parquet", "a/b.parquet", false)]
    [InlineData("hf://org/name@feature%2Fx/file.gguf", "org/name", "feature/x", "file.gguf", false)]
    [InlineData("hf://models/org/Na_me-1.5", "org/Na_me-1.5", "main", null, false)]
    [InlineData("hf://datasets/org/name/data/train.jsonl", "org/name", "main", "data/train.jsonl", true)]
    [InlineData("hf://datasets/org/name@v1/a b.txt", "org/name", "v1", "a b.txt", true)]
    public void NamesAreParsed(string text, string repository, string revision, string? path, bool dataset)
    {
        HubName name = HubName.Parse(text);
        Assert.Equal(new HubName(repository, revision, path, dataset), name);
        // What is printed can be typed.
        string shown = name.ToString();
        Assert.Equal(name, HubName.Parse(shown.StartsWith("hf://", StringComparison.Ordinal) ? shown : $"hf://{shown}"));
    }

    [Theory]
    [InlineData("hf://")]
    [InlineData("hf://gpt2")]
    [InlineData("hf://org/")]
    [InlineData("hf:///name")]
    [InlineData("hf://org/na me")]
    [InlineData("hf://org/a--b")]
    [InlineData("hf://org/a..b")]
    [InlineData("hf://../name")]
    [InlineData("hf://org/.hidden")]
    [InlineData("hf://org/name.git")]
    [InlineData("hf://-org/name")]
    [InlineData("hf://org/name@")]
    [InlineData("hf://org/name@-x")]
    [InlineData("hf://org/name@..")]
    [InlineData("hf://org/name@a%2F..%2Fb")]
    [InlineData("hf://org/name@%2Fetc")]
    [InlineData("hf://org/name@a%5Cb")]
    [InlineData("hf://org/name@a%00b")]
    [InlineData("hf://org/name/")]
    [InlineData("hf://org/name//etc/passwd")]
    [InlineData("hf://org/name/../../x")]
    [InlineData("hf://org/name/a\\b")]
    [InlineData("hf://org/name/c:x")]
    [InlineData("hf://org/name/a\nb")]
    [InlineData("hf://spaces/org/name")]
    [InlineData("http://org/name")]
    public void WhatIsNoNameIsRefused(string text) => Assert.Throws<HubException>(() => HubName.Parse(text));

    [Theory]
    [InlineData("Qwen/Qwen3-0.6B")]
    [InlineData("Qwen/Qwen3-0.6B@main")]
    public void OrgAndNameAreANameWhereNothingHereIsCalledSo(string argument) => Assert.Equal("Qwen/Qwen3-0.6B", HubName.Of(argument)!.ToString());

    [Theory]
    [InlineData("demo")]
    [InlineData("./Qwen/Qwen3-0.6B")]
    [InlineData("../Qwen3-0.6B")]
    [InlineData("/Qwen/Qwen3-0.6B")]
    [InlineData("~/model")]
    [InlineData("a/b/c")]
    [InlineData("a\\b")]
    [InlineData("folder/model.gguf")]
    [InlineData("folder/text.txt")]
    [InlineData("a/b--c")]
    [InlineData("a/../b")]
    [InlineData("a/..")]
    [InlineData("")]
    public void WhatElseIsGivenIsAPath(string argument) => Assert.Null(HubName.Of(argument));

    [Fact]
    public void WhatIsHereIsAPathWhateverItIsCalled()
    {
        using var folder = new TemporaryFolder();
        // As a relative path, which alone looks like a name. The folder of the tests' binaries has others in it.
        string made = Directory.CreateDirectory($"hub-test-{Guid.NewGuid():N}").Name;
        try
        {
            File.WriteAllText(Path.Combine(made, "model"), "");
            Assert.Null(HubName.Of($"{made}/model"));
            // A name mistyped in a folder that is there is asked of nobody.
            Assert.Null(HubName.Of($"{made}/modle"));
            Assert.NotNull(HubName.Of($"hf://{made}/model"));
        }
        finally
        {
            Directory.Delete(made, recursive: true);
        }
    }

    [Fact]
    public void OptionsComeFromTheEnvironment()
    {
        using var folder = new TemporaryFolder();
        HubOptions options = Of(("HF_HOME", folder.Path));
        Assert.Equal(new Uri("https://huggingface.co"), options.Endpoint);
        Assert.Equal(folder.File("hub"), options.Cache);
        Assert.Null(options.Token);
        Assert.False(options.Offline);
        File.WriteAllText(folder.File("token"), "hf_file\n");
        Assert.Equal("hf_file", Of(("HF_HOME", folder.Path)).Token);
        options = Of(("HF_HOME", folder.Path), ("HF_TOKEN", " hf_given "), ("HF_HUB_CACHE", folder.File("c")), ("HF_ENDPOINT", "http://mirror:8080/hf/"), ("HF_HUB_OFFLINE", "true"));
        Assert.Equal(("hf_given", folder.File("c"), "http://mirror:8080/hf/", true), (options.Token, options.Cache, options.Endpoint.ToString(), options.Offline));
        Assert.DoesNotContain("hf_given", options.ToString(), StringComparison.Ordinal);
        Assert.Equal(folder.File("huggingface/hub"), Of(("XDG_CACHE_HOME", folder.Path)).Cache);
        Assert.Equal("hf_file", Of(("HF_TOKEN_PATH", folder.File("token"))).Token);
        Assert.EndsWith(Path.Combine(".cache", "huggingface", "hub"), Of().Cache, StringComparison.Ordinal);
        Assert.False(Of(("HF_HUB_OFFLINE", "0")).Offline);
    }

    [Theory]
    [InlineData("HF_ENDPOINT", "mirror")]
    [InlineData("HF_ENDPOINT", "ftp://mirror")]
    [InlineData("HF_ENDPOINT", "https://name:password@mirror")]
    [InlineData("HF_ENDPOINT", "https://mirror/?x=1")]
    [InlineData("HF_TOKEN", "hf_a\r\nHost: other")]
    [InlineData("HF_TOKEN", "hf_ä")]
    public void UnusableVariablesAreNamed(string variable, string value) =>
        Assert.Contains(variable, Assert.Throws<HubException>(() => Of((variable, value))).Message, StringComparison.Ordinal);

    private static HubOptions Of(params (string Name, string Value)[] variables) => HubOptions.From(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}
