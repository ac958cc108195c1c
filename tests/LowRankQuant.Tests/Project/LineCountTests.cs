namespace LowRankQuant.Tests.Project;

/// <summary>A file that can be read in one sitting: longer ones hold more than one idea and want splitting.</summary>
public class LineCountTests
{
    private const int MaxLines = 400;

    private static List<string> SourceFiles()
    {
        string source = Path.Combine(TestData.RepositoryRoot, "src"), separator = Path.DirectorySeparatorChar.ToString();
        return [.. Directory.EnumerateFiles(source, "*.cs", SearchOption.AllDirectories)
            .Where(path => !path.Contains($"{separator}obj{separator}") && !path.Contains($"{separator}bin{separator}"))];
    }

    [Fact]
    public void NoSourceFileIsLongerThan400Lines()
    {
        List<string> files = SourceFiles();
        Assert.NotEmpty(files);
        List<string> tooLong = [];
        foreach (string path in files)
        {
            int lines = File.ReadLines(path).Count();
            if (lines > MaxLines) tooLong.Add($"{Path.GetRelativePath(TestData.RepositoryRoot, path)} has {lines} lines");
        }
        Assert.Empty(tooLong);
    }
}
