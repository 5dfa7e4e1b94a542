using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class OracleDetectorTests
{
    [Fact]
    public void RegionsCarryBoxAndLabelsOfTheirObjects()
    {
        var detector = new OracleDetector(featureSize: 32);
        foreach (Scene scene in new SceneWorld(new SceneOptions()).Take(SceneSplit.Train, 100))
        {
            SceneRegion[] regions = [.. detector.Detect(scene)];
            Assert.Equal(scene.Objects.Length, regions.Length);
            foreach ((SceneObject item, SceneRegion region) in scene.Objects.Zip(regions))
            {
                Assert.Equal(item.Box, region.Box);
                Assert.Equal(item.Shape.ToString().ToLowerInvariant(), SceneWords.Shapes[region.ClassId]);
                Assert.Equal(item.Color.ToString().ToLowerInvariant(), SceneWords.Colors[region.AttributeId]);
                Assert.Equal(32, region.Feature.Length);
                Assert.Equal(region.Geometry[6], (region.Geometry[2] - region.Geometry[0]) * (region.Geometry[3] - region.Geometry[1]), 1e-6f);
            }
        }
    }

    [Fact]
    public void FeaturesTellShapesApartByNearestMeanWithoutTheLabels()
    {
        var detector = new OracleDetector(featureSize: 64, noise: 0.2, seed: 5);
        SceneRegion[] train = [.. new SceneWorld(new SceneOptions()).Take(SceneSplit.Train, 2000).SelectMany(scene => detector.Detect(scene))];
        SceneRegion[] test = [.. new SceneWorld(new SceneOptions()).Take(SceneSplit.Test, 300).SelectMany(scene => detector.Detect(scene))];
        double[][] means = [.. Enumerable.Range(0, 10).Select(label => Mean([.. train.Where(region => region.ClassId == label)]))];
        int right = test.Count(region => Enumerable.Range(0, 10).MinBy(label => Distance(means[label], region)) == region.ClassId);

        Assert.True(right > 0.97 * test.Length, $"{right} of {test.Length}");

        static double[] Mean(SceneRegion[] regions)
        {
            return [.. Enumerable.Range(0, 64).Select(i => regions.Average(region => region.Feature.Span[i]))];
        }

        static double Distance(double[] mean, SceneRegion region)
        {
            return mean.Select((value, i) => Math.Pow(value - region.Feature.Span[i], 2)).Sum();
        }
    }

    [Fact]
    public void EqualDetectorsAnswerAlikeAndSeedsDiffer()
    {
        Scene scene = new SceneWorld(new SceneOptions()).At(SceneSplit.Train, 1);
        float[] first = new OracleDetector(16).Detect(scene)[0].Feature.ToArray();

        Assert.Equal(first, new OracleDetector(16).Detect(scene)[0].Feature.ToArray());
        Assert.NotEqual(first, new OracleDetector(16, seed: 1).Detect(scene)[0].Feature.ToArray());
        Assert.NotEqual(first, new OracleDetector(16, noise: 0).Detect(scene)[0].Feature.ToArray());
    }

    [Fact]
    public void WrongSettingsAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new OracleDetector(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new OracleDetector(8, -1));
    }
}
