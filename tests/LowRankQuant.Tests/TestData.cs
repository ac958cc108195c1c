namespace LowRankQuant.Tests;

/// <summary>Finds the folder of reference data: environment variable LRQ_DATA, else the folder "shared" beside the repository.</summary>
internal static class TestData
{
    public static string RepositoryRoot { get; } = FindRepository();

    private static string? Root { get; } = FindRoot();

    public const string SkipReason = "Reference data not found: set LRQ_DATA to its folder (or place it as 'shared' beside the repository).";

    public static bool Available => Root is not null;

    /// <summary>Path of a file or folder of the reference data; skips the calling test when the data is absent.</summary>
    public static string Path(params string[] parts)
    {
        Assert.SkipUnless(Available, SkipReason);
        return System.IO.Path.Combine([Root!, .. parts]);
    }

    /// <summary>The embedded demo model, which is always there.</summary>
    public static string Demo => System.IO.Path.Combine(RepositoryRoot, "models", "demo");

    /// <summary>The items of a loop that asserts something of each of them: there must be one.</summary>
    public static IReadOnlyList<T> Some<T>(this IEnumerable<T> items)
    {
        T[] all = [.. items];
        Assert.NotEmpty(all);
        return all;
    }

    private static string? FindRoot()
    {
        string? fromEnvironment = Environment.GetEnvironmentVariable("LRQ_DATA");
        if (!string.IsNullOrEmpty(fromEnvironment)) return Directory.Exists(fromEnvironment) ? fromEnvironment : null;
        string sibling = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(RepositoryRoot)!, "shared");
        return Directory.Exists(sibling) ? sibling : null;
    }

    private static string FindRepository()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "LowRankQuant.slnx"))) return folder.FullName;
        }
        throw new InvalidOperationException("The tests run outside the repository.");
    }
}
